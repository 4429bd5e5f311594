module github.com/portico-sso/portico

go 1.26.8
