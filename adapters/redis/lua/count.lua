-- Counts the live documents of a range: all entries, less those that have expired, found among the fewer.
if expired == 0 or size == 0 then return size end
if size == redis.call('ZCARD', x.entries) then return size - expired end
if expired < size then return size - #gone() end
local live = 0
for _, member in ipairs(redis.call('ZRANGE', x.entries, first, first + size - 1)) do
  if stored(c, owner(x, member)).live then live = live + 1 end
end
return live
