-- Removes expired documents. ARGV: generation, the collection, how many at most. Answers ok and how many, or stale.
local generation = arg()
local why = refused(false)
if why then return why end
if stale(generation) then return {'stale'} end
local c, old = collection(), {}
for i, id in ipairs(redis.call('ZRANGEBYSCORE', c.expiry, '-inf', now, 'LIMIT', 0, arg())) do
  old[i] = {id = id, d = stored(c, id)}
end
writable({c})
for _, o in ipairs(old) do erase(c, o.id, o.d) end
return {'ok', #old}
