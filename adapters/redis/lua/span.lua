-- Of the scripts that read a range. ARGV: the collection with the index that is ranged over, the bounds as ZRANGEBYLEX takes
-- them. The range is the entries of the ranks from first to below first + size.
local why = refused(false)
if why then return why end
local c = collection()
local x, low, high = c.indexes[1], arg(), arg()
local first, size = 0, redis.call('ZLEXCOUNT', x.entries, low, high)
if low ~= '-' then
  local below = string.sub(low, 1, 1) == '[' and '(' or '['
  first = redis.call('ZLEXCOUNT', x.entries, '-', below .. string.sub(low, 2))
end
-- How many of the collection are expired and not yet swept: few, where the sweep runs.
local expired = redis.call('ZCOUNT', c.expiry, '-inf', now)

-- gone lists the ranks in the range whose documents have expired.
local function gone()
  local ranks = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', c.expiry, '-inf', now)) do
    local rank = redis.call('ZRANK', x.entries, entry(x, stored(c, id), id))
    if rank and rank >= first and rank < first + size then ranks[#ranks + 1] = rank end
  end
  return ranks
end
