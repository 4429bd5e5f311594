-- Adds indexes to the record of the schema, which changes its generation, so that from then on all programs keep them. ARGV: the
-- new generation; of each index its collection, name and fields. Those of documents that are there are still to be filled.
local fresh = arg()
local why = refused(true)
if why then return why end
local grown = not redis.call('HGET', KEYS[1], 'generation')
while at < #ARGV do
  local name, index, fields = arg(), arg(), arg()
  if not redis.call('HGET', KEYS[1], name .. '/' .. index) then
    local state = redis.call('ZCARD', root .. 'i:' .. name .. ':') == 0 and 'filled ' or 'filling '
    redis.call('HSET', KEYS[1], name .. '/' .. index, state .. fields)
    grown = true
  end
end
if grown then redis.call('HSET', KEYS[1], 'generation', fresh) end
return {'ok'}
