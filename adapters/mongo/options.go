package mongo

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/portico-sso/portico/ports/store"
)

// What a URL leaves open. The driver's own defaults are 30 s until no primary is an error, and no end for a call.
const (
	defaultDatabase  = "portico"
	defaultTimeout   = 10 * time.Second // timeoutMS: of a call whose context has no deadline
	defaultSelection = 5 * time.Second  // serverSelectionTimeoutMS: until it is an error that no primary answers
)

// durable is what a write waits for: it is in the journals of a majority.
func durable() *writeconcern.WriteConcern {
	journal := true
	return &writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}
}

func collectionOptions() *options.CollectionOptionsBuilder { return options.Collection() }

// clientOptions are the driver's options and the database's name of a URL.
func clientOptions(u *url.URL) (*options.ClientOptions, string, error) {
	name, err := databaseName(u)
	if err != nil {
		return nil, "", err
	}
	o := options.Client().ApplyURI(u.String())
	if err := o.Validate(); err != nil {
		var lookup *net.DNSError
		if errors.As(err, &lookup) { // mongodb+srv asks the DNS for its hosts
			return nil, "", fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		return nil, "", fmt.Errorf("%w: mongodb URL: %w", store.ErrInvalid, err)
	}
	if err := weakened(o); err != nil {
		return nil, "", err
	}
	if o.AppName == nil {
		o.SetAppName("portico")
	}
	if o.Timeout == nil || *o.Timeout <= 0 {
		o.SetTimeout(defaultTimeout)
	}
	if o.ServerSelectionTimeout == nil {
		o.SetServerSelectionTimeout(defaultSelection)
	}
	o.SetReadPreference(readpref.Primary()).SetReadConcern(readconcern.Majority()).SetWriteConcern(durable())
	return o.SetRetryReads(true).SetRetryWrites(true), name, nil
}

// weakened refuses parameters that ask for less than the port promises, instead of passing over them.
func weakened(o *options.ClientOptions) error {
	var what string
	switch {
	case o.ReadPreference != nil && o.ReadPreference.Mode() != readpref.PrimaryMode:
		what = "readPreference: reads come from the primary"
	case o.ReadConcern != nil && o.ReadConcern.Level != "majority":
		what = "readConcernLevel: reads see what a majority has"
	case o.WriteConcern != nil && (o.WriteConcern.W != nil && o.WriteConcern.W != writeconcern.WCMajority):
		what = "w: writes wait for a majority"
	case o.WriteConcern != nil && o.WriteConcern.Journal != nil && !*o.WriteConcern.Journal:
		what = "journal: writes wait for the journal"
	case o.RetryWrites != nil && !*o.RetryWrites:
		what = "retryWrites: a write whose answer is lost is repeated"
	case o.LoadBalanced != nil && *o.LoadBalanced:
		what = "loadBalanced: name a replica set"
	default:
		return nil
	}
	return fmt.Errorf("%w: mongodb URL: leave out %s", store.ErrInvalid, what)
}

// databaseName is the URL's path.
func databaseName(u *url.URL) (string, error) {
	name := strings.TrimPrefix(u.Path, "/")
	switch {
	case name == "":
		return defaultDatabase, nil
	case name == "admin" || name == "local" || name == "config":
		return "", fmt.Errorf("%w: mongodb URL: the database %s is MongoDB's own", store.ErrInvalid, name)
	case len(name) > 63 || strings.ContainsAny(name, "/\\. \"$*<>:|?\x00"):
		return "", fmt.Errorf("%w: mongodb URL: %q is no name of a database", store.ErrInvalid, name)
	}
	return name, nil
}
