-- Reads a page of a range. ARGV: 1 from the end to the beginning, how many live documents to skip, how many to read at most.
-- Answers id, m and b of each. Places are counted from the side where the page begins.
local desc, skip, left = arg() == '1', number(), number()
local place = 0
if expired <= skip then -- jump: over what is to be skipped, and over the expired ones before that
  place, skip = skip, 0
  local places = expired > 0 and gone() or {}
  for i, rank in ipairs(places) do places[i] = desc and first + size - 1 - rank or rank - first end
  table.sort(places)
  for _, p in ipairs(places) do
    if p <= place then place = place + 1 end
  end
end
local page = {}
while left > 0 and place < size do
  local n = math.min(skip + left, size - place, 1000)
  local from = desc and first + size - place - n or first + place
  local members = redis.call('ZRANGE', x.entries, from, from + n - 1)
  for i = 1, n do
    local id = owner(x, members[desc and n + 1 - i or i])
    local d = redis.call('HMGET', c.docs .. id, 'm', 'b')
    if not parse(d[1]).live then
      -- takes no place
    elseif skip > 0 then
      skip = skip - 1
    else
      left = left - 1
      page[#page + 1] = id
      page[#page + 1] = d[1]
      page[#page + 1] = d[2]
    end
  end
  place = place + n
end
return page
