-- Ends the filling of new indexes. ARGV: generation, a new one or "" if all went well; of each index its collection, name
-- and definition. They are filled; or they are given up, so that a program that does not know them
-- may write again. Answers ok or stale.
local generation, fresh = arg(), arg()
local why = refused(false)
if why then return why end
if stale(generation) then return {'stale'} end
if fresh ~= '' then redis.call('HSET', KEYS[1], 'generation', fresh) end
for _ = 1, number() do
  local name, index, definition = arg(), arg(), arg()
  if fresh == '' then
    redis.call('HSET', KEYS[1], name .. '/' .. index, 'filled ' .. definition)
  else
    redis.call('HDEL', KEYS[1], name .. '/' .. index)
    redis.call('DEL', root .. 'i:' .. name .. ':' .. index)
  end
end
return {'ok'}
