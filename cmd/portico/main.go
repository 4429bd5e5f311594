// Command portico is enterprise single sign-on and directory sync.
package main

import "github.com/portico-sso/portico/app"

func main() { app.Main() }
