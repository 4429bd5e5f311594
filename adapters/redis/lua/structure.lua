-- Reads the record of the schema. ARGV: names of collections. Answers the record as HGETALL does, and how many documents there
-- are in each. The record is a hash: generation, and for collection/index "filled" or "filling" and the fields.
local why = refused(false)
if why then return why end
local counts = {}
for i = at, #ARGV - 1 do counts[i] = redis.call('ZCARD', root .. 'i:' .. arg() .. ':') end
return {redis.call('HGETALL', KEYS[1]), counts}
