package app

import (
	"context"

	"go.uber.org/fx"

	"github.com/portico-sso/portico/adapters/jsonnet"
	"github.com/portico-sso/portico/ports/mapping"
)

// newMapper makes what evaluates mappings. It starts a process with the first one, and ends them all with the program.
func newMapper(lc fx.Lifecycle) mapping.Mapper {
	pool := jsonnet.New(jsonnet.Options{})
	lc.Append(fx.Hook{OnStop: func(context.Context) error { return pool.Close() }})
	return pool
}
