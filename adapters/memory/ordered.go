package memory

import (
	"iter"
	"slices"
	"sort"
)

const blockSize = 512

// ordered is a sorted set of strings in sorted blocks, so that an insertion moves one block at most.
type ordered struct{ blocks [][]string }

// find returns the block where s is or belongs, and its place there.
func (o *ordered) find(s string) (block, at int, found bool) {
	block = sort.Search(len(o.blocks), func(i int) bool { b := o.blocks[i]; return b[len(b)-1] >= s })
	if block == len(o.blocks) {
		return block, 0, false
	}
	at, found = slices.BinarySearch(o.blocks[block], s)
	return block, at, found
}

func (o *ordered) add(s string) {
	block, at, found := o.find(s)
	switch {
	case found:
		return
	case len(o.blocks) == 0:
		o.blocks = [][]string{{s}}
		return
	case block == len(o.blocks):
		block--
		at = len(o.blocks[block])
	}
	b := slices.Insert(o.blocks[block], at, s)
	o.blocks[block] = b
	if len(b) > blockSize {
		o.blocks[block] = b[: len(b)/2 : len(b)/2]
		o.blocks = slices.Insert(o.blocks, block+1, slices.Clone(b[len(b)/2:]))
	}
}

func (o *ordered) remove(s string) {
	block, at, found := o.find(s)
	if !found {
		return
	}
	o.blocks[block] = slices.Delete(o.blocks[block], at, at+1)
	if len(o.blocks[block]) == 0 {
		o.blocks = slices.Delete(o.blocks, block, block+1)
	}
}

// from yields all strings at or above low, ascending.
func (o *ordered) from(low string) iter.Seq[string] {
	return func(yield func(string) bool) {
		block, at, _ := o.find(low)
		for ; block < len(o.blocks); block, at = block+1, 0 {
			for _, s := range o.blocks[block][at:] {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// below yields all strings under high, descending; all of them when high is "".
func (o *ordered) below(high string) iter.Seq[string] {
	return func(yield func(string) bool) {
		block, at, _ := o.find(high)
		if high == "" {
			block, at = len(o.blocks), 0
		}
		for ; block >= 0; block-- {
			if block < len(o.blocks) {
				for i := at - 1; i >= 0; i-- {
					if !yield(o.blocks[block][i]) {
						return
					}
				}
			}
			if block > 0 {
				at = len(o.blocks[block-1])
			}
		}
	}
}
