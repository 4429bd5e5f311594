//go:build !race

package jsonnet

const shadow = 1
