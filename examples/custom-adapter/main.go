//go:build unix

// Command custom-adapter is Portico with one more storage engine, a log file: PORTICO_DATABASE_URL=log:portico.log.
package main

import (
	"github.com/portico-sso/portico/app"
	"github.com/portico-sso/portico/examples/custom-adapter/logfile"
)

func main() { app.Main(app.WithDriver(logfile.Driver)) }
