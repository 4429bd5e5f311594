-- Reads documents by their ids. ARGV: the collection, the ids. Answers id, m and b of each that is live.
local why = refused(false)
if why then return why end
local c, found = collection(), {}
for _ = at, #ARGV - 1 do
  local id = arg()
  local d = redis.call('HMGET', c.docs .. id, 'm', 'b')
  if d[1] and parse(d[1]).live then
    found[#found + 1] = id
    found[#found + 1] = d[1]
    found[#found + 1] = d[2]
  end
end
return found
