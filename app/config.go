package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portico-sso/portico/core/events"
	"github.com/portico-sso/portico/core/secret"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

// Config is everything an operator sets. The zero value works: see withDefaults. Printed or logged, it shows no secret.
type Config struct {
	Listen               string         // PORTICO_LISTEN: host:port
	PublicURL            string         // PORTICO_PUBLIC_URL: what browsers and identity providers reach
	DatabaseURL          string         // PORTICO_DATABASE_URL
	SessionURL           string         // PORTICO_SESSION_URL: where logins, codes and tokens live; "" is the database
	AdminKeys            secret.List    // PORTICO_ADMIN_KEYS: comma list
	ClientSecretVerifier secret.Secret  // PORTICO_CLIENT_SECRET_VERIFIER: shared secret of tenant=…&product=… clients
	EncryptionKeys       []seal.Key     // PORTICO_ENCRYPTION_KEYS: id:base64,…; the first one seals
	SAMLEntityID         string         // PORTICO_SAML_ENTITY_ID
	LogLevel             slog.Level     // PORTICO_LOG_LEVEL
	TrustedProxies       []netip.Prefix // PORTICO_TRUSTED_PROXIES: comma list of addresses and networks
	AllowPrivateNetworks []netip.Prefix // PORTICO_ALLOW_PRIVATE_NETWORKS: true for privateNetworks, or a comma list
	CertificateHeader    string         // PORTICO_CLIENT_CERTIFICATE_HEADER: in which a trusted proxy forwards TLS clients' certificates
	RateLimit            *int           // PORTICO_RATE_LIMIT: sign-ins that an address may begin a minute, and refusals; nil: defaultRate; 0: any number
	PolisRedirectMatch   bool           // PORTICO_POLIS_REDIRECT_MATCH
	PolisJSONErrorPage   bool           // PORTICO_POLIS_JSON_ERROR_PAGE: browsers are told errors as JSON
	PolisSubjectPrefix   bool           // PORTICO_POLIS_SUBJECT_PREFIX: sub of Polis's clients is tenant:product:id
	PolisFlattenRaw      bool           // PORTICO_POLIS_FLATTEN_RAW_CLAIMS: what raw holds stands beside the other claims
	PolisWebhookBatch    int            // PORTICO_POLIS_WEBHOOK_BATCH_SIZE: events that directories' webhooks are sent at a time, as arrays; 0: one, as an object
	WebhookURL           string         // PORTICO_WEBHOOK_URL: told of all connections and directories, as Polis's WEBHOOK_URL; "" is none
	WebhookSecret        secret.Secret  // PORTICO_WEBHOOK_SECRET
	GoogleClientID       string         // PORTICO_GOOGLE_CLIENT_ID: of the OAuth client by which workspaces are read
	GoogleClientSecret   secret.Secret  // PORTICO_GOOGLE_CLIENT_SECRET
	KeepEvents           time.Duration  // PORTICO_KEEP_EVENTS: in the log
	KeepDeliveries       time.Duration  // PORTICO_KEEP_DELIVERIES: what became of webhook deliveries
	AutoMigrate          *bool          // PORTICO_AUTO_MIGRATE: bring databases up to this release; nil: embedded ones alone
}

// Warning is a setting that works and should be changed.
type Warning struct{ Variable, Message string }

// defaultRate is fifty sign-ins a second from one address: a large company's people behind one.
const defaultRate = 3000

const shortKey = 32 // characters of an admin key below which it is warned of

// privateNetworks are those of RFC 1918, RFC 6598, RFC 4193 and loopback. Link-local addresses are not among them:
// there clouds hand out a machine's credentials, so whoever needs one names it.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("::1/128"),
}

func (c Config) withDefaults() Config {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&c.Listen, ":5225")
	set(&c.PublicURL, "http://localhost:"+c.Listen[strings.LastIndexByte(c.Listen, ':')+1:])
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	set(&c.DatabaseURL, "sqlite:portico.db")
	set(&c.SessionURL, c.DatabaseURL)
	set(&c.SAMLEntityID, c.PublicURL+"/.well-known/sp-metadata")
	if c.KeepEvents == 0 {
		c.KeepEvents = events.DefaultKeepEvents
	}
	if c.KeepDeliveries == 0 {
		c.KeepDeliveries = events.DefaultKeepDeliveries
	}
	if c.RateLimit == nil {
		c.RateLimit = ptr(defaultRate)
	}
	return c
}

// plain is a Config that has no methods.
type plain Config

// redacted leaves out what a secret type does not hide by itself: the passwords of URLs, and encryption keys.
func (c Config) redacted() plain {
	c.DatabaseURL, c.SessionURL = redactURL(c.DatabaseURL), redactURL(c.SessionURL)
	keys := make([]seal.Key, len(c.EncryptionKeys))
	for i, k := range c.EncryptionKeys {
		keys[i].ID = k.ID
	}
	c.EncryptionKeys = keys
	return plain(c)
}

// redactURL keeps what tells one database from another: a password stands before the host or among the parameters.
func redactURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return secret.Redacted
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// Format implements fmt.Formatter.
func (c Config) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), c.redacted())
}

// LogValue implements slog.LogValuer.
func (c Config) LogValue() slog.Value { return slog.AnyValue(c.redacted()) }

// MarshalJSON implements json.Marshaler.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.redacted()) }

// ConfigError is every fault of a configuration at once.
type ConfigError []Fault

// Fault is one wrong value: which variable, what it holds (nothing of a secret), and what to do.
type Fault struct{ Variable, Value, Cure string }

func (e ConfigError) mentions(variable string) bool {
	return slices.ContainsFunc(e, func(f Fault) bool { return f.Variable == variable })
}

func (e ConfigError) Error() string {
	lines := make([]string, 0, len(e)+1)
	lines = append(lines, "the configuration cannot be used:")
	for _, f := range e {
		line := "  " + f.Variable
		if f.Value != "" {
			line += "=" + strconv.Quote(f.Value)
		}
		lines = append(lines, line+": "+f.Cure)
	}
	return strings.Join(lines, "\n")
}

// setting is one variable: parse puts its text into the configuration or says what is wrong with it.
type setting struct {
	name   string
	secret bool
	parse  func(c *Config, text string, o options) error
}

var settings = []setting{
	{"PORTICO_LISTEN", false, func(c *Config, t string, _ options) error {
		_, port, err := net.SplitHostPort(t)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
			return errors.New("give host:port, such as 127.0.0.1:5225 or :5225")
		}
		c.Listen = t
		return nil
	}},
	{"PORTICO_PUBLIC_URL", false, func(c *Config, t string, _ options) error {
		u, err := url.Parse(t)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return errors.New("give an http or https URL without query, such as https://sso.example.com")
		}
		c.PublicURL = t
		return nil
	}},
	{"PORTICO_DATABASE_URL", true, func(c *Config, t string, _ options) error { return databaseURL(&c.DatabaseURL, t) }},
	{"PORTICO_SESSION_URL", true, func(c *Config, t string, _ options) error { return databaseURL(&c.SessionURL, t) }},
	{"PORTICO_ADMIN_KEYS", true, func(c *Config, t string, _ options) error {
		c.AdminKeys = list(t)
		if slices.ContainsFunc(c.AdminKeys, func(key string) bool { return strings.ContainsAny(key, " \t\r\n") }) {
			return errors.New("separate the keys by commas; a key holds no white space, for it is a word of a header")
		}
		return nil
	}},
	{"PORTICO_CLIENT_SECRET_VERIFIER", true, func(c *Config, t string, _ options) error { c.ClientSecretVerifier = secret.Secret(t); return nil }},
	{"PORTICO_ENCRYPTION_KEYS", true, func(c *Config, t string, o options) (err error) {
		c.EncryptionKeys, err = parseKeys(t, o.kms)
		return err
	}},
	{"PORTICO_SAML_ENTITY_ID", false, func(c *Config, t string, _ options) error {
		if len(t) > 1024 || strings.ContainsAny(t, " \t\r\n") {
			return errors.New("give a URI of at most 1024 characters")
		}
		c.SAMLEntityID = t
		return nil
	}},
	{"PORTICO_LOG_LEVEL", false, func(c *Config, t string, _ options) error {
		if c.LogLevel.UnmarshalText([]byte(t)) != nil {
			return errors.New("give debug, info, warn or error")
		}
		return nil
	}},
	{"PORTICO_TRUSTED_PROXIES", false, func(c *Config, t string, _ options) (err error) { c.TrustedProxies, err = prefixes(t); return err }},
	{"PORTICO_ALLOW_PRIVATE_NETWORKS", false, func(c *Config, t string, _ options) (err error) {
		on, err := strconv.ParseBool(t)
		if err != nil {
			if c.AllowPrivateNetworks, err = prefixes(t); err != nil {
				return errors.New("give true, false, or a comma list of networks, such as 10.0.0.0/8")
			}
			return nil
		}
		if on {
			c.AllowPrivateNetworks = privateNetworks
		}
		return nil
	}},
	{"PORTICO_WEBHOOK_URL", false, func(c *Config, t string, _ options) error {
		u, err := url.Parse(t)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.Fragment != "" {
			return errors.New("give an https URL without user name and fragment")
		}
		c.WebhookURL = t
		return nil
	}},
	{"PORTICO_WEBHOOK_SECRET", true, func(c *Config, t string, _ options) error {
		c.WebhookSecret = secret.Secret(t)
		return events.ValidSecret(t)
	}},
	{"PORTICO_GOOGLE_CLIENT_ID", false, func(c *Config, t string, _ options) error { c.GoogleClientID = t; return oneWord(t) }},
	{"PORTICO_GOOGLE_CLIENT_SECRET", true, func(c *Config, t string, _ options) error { c.GoogleClientSecret = secret.Secret(t); return oneWord(t) }},
	{"PORTICO_KEEP_EVENTS", false, func(c *Config, t string, _ options) error { return keepFor(&c.KeepEvents, t, 7) }},
	{"PORTICO_KEEP_DELIVERIES", false, func(c *Config, t string, _ options) error { return keepFor(&c.KeepDeliveries, t, 1) }},
	{"PORTICO_CLIENT_CERTIFICATE_HEADER", false, func(c *Config, t string, _ options) error {
		if strings.ContainsFunc(t, func(r rune) bool { return r != '-' && (r < '0' || r > 'z' || r > '9' && r < 'A' || r > 'Z' && r < 'a') }) {
			return errors.New("give the name of a header, such as Client-Cert")
		}
		c.CertificateHeader = http.CanonicalHeaderKey(t)
		return nil
	}},
	{"PORTICO_RATE_LIMIT", false, func(c *Config, t string, _ options) error {
		n, err := strconv.ParseUint(t, 10, 31)
		if err != nil {
			return errors.New("give the sign-ins that one address may begin in a minute, such as 3000, or 0 for any number")
		}
		c.RateLimit = ptr(int(n))
		return nil
	}},
	yesOrNo("PORTICO_POLIS_REDIRECT_MATCH", func(c *Config, on bool) { c.PolisRedirectMatch = on }),
	yesOrNo("PORTICO_POLIS_JSON_ERROR_PAGE", func(c *Config, on bool) { c.PolisJSONErrorPage = on }),
	yesOrNo("PORTICO_POLIS_SUBJECT_PREFIX", func(c *Config, on bool) { c.PolisSubjectPrefix = on }),
	yesOrNo("PORTICO_POLIS_FLATTEN_RAW_CLAIMS", func(c *Config, on bool) { c.PolisFlattenRaw = on }),
	{"PORTICO_POLIS_WEBHOOK_BATCH_SIZE", false, func(c *Config, t string, _ options) (err error) {
		if c.PolisWebhookBatch, err = strconv.Atoi(t); err != nil || c.PolisWebhookBatch < 0 || c.PolisWebhookBatch > events.MaxBatch {
			return errors.New("give a number of events, 1 to 500, or 0 to have each sent by itself")
		}
		return nil
	}},
	yesOrNo("PORTICO_AUTO_MIGRATE", func(c *Config, on bool) { c.AutoMigrate = &on }),
}

func oneWord(t string) error {
	if strings.ContainsAny(t, " \t\r\n") {
		return errors.New("give it as Google's console shows it: it holds no white space")
	}
	return nil
}

func yesOrNo(name string, set func(c *Config, on bool)) setting {
	return setting{name, false, func(c *Config, t string, _ options) error {
		on, err := strconv.ParseBool(t)
		if err != nil {
			return errors.New("give true or false")
		}
		set(c, on)
		return nil
	}}
}

// LoadConfig reads the environment; every variable may also be given as NAME_FILE, the name of a file that holds it.
// The error is a ConfigError with all faults. Of the options, those that add drivers matter.
func LoadConfig(environ []string, opts ...Option) (Config, []Warning, error) {
	env := map[string]string{}
	for _, line := range environ {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "PORTICO_") {
			env[name] = value
		}
	}
	o := newOptions(opts)
	var c Config
	var faults ConfigError
	for _, s := range settings {
		text, err := s.read(env)
		if err == nil && text != "" {
			err = s.parse(&c, text, o)
		}
		if err != nil {
			shown := text
			if s.secret {
				shown = ""
			}
			faults = append(faults, Fault{s.name, shown, err.Error()})
		}
	}
	faults = append(faults, c.withoutDriver(o.drivers)...)
	if (c.WebhookURL == "") != (c.WebhookSecret == "") && !faults.mentions("PORTICO_WEBHOOK_URL") && !faults.mentions("PORTICO_WEBHOOK_SECRET") {
		faults = append(faults, Fault{"PORTICO_WEBHOOK_SECRET", "", "give it together with PORTICO_WEBHOOK_URL, or neither"})
	}
	if (c.GoogleClientID == "") != (c.GoogleClientSecret == "") && !faults.mentions("PORTICO_GOOGLE_CLIENT_ID") && !faults.mentions("PORTICO_GOOGLE_CLIENT_SECRET") {
		faults = append(faults, Fault{"PORTICO_GOOGLE_CLIENT_SECRET", "", "give it together with PORTICO_GOOGLE_CLIENT_ID, or neither"})
	}
	if scheme, _, _ := strings.Cut(c.withDefaults().DatabaseURL, ":"); !embedded(scheme) && len(c.EncryptionKeys) == 0 && !faults.mentions("PORTICO_ENCRYPTION_KEYS") {
		faults = append(faults, Fault{"PORTICO_ENCRYPTION_KEYS", "", needKeys})
	}
	warnings := unknown(env)
	for _, key := range c.AdminKeys {
		if len(key) < shortKey {
			warnings = append(warnings, Warning{"PORTICO_ADMIN_KEYS", fmt.Sprintf("an admin key has fewer than %d characters; make one with: openssl rand -hex 32", shortKey)})
			break
		}
	}
	if len(faults) > 0 {
		return Config{}, warnings, faults
	}
	return c.withDefaults(), warnings, nil
}

// withoutDriver finds the databases that no driver opens.
func (c Config) withoutDriver(drivers []store.Driver) ConfigError {
	var faults ConfigError
	for _, given := range []struct{ variable, url string }{{"PORTICO_DATABASE_URL", c.DatabaseURL}, {"PORTICO_SESSION_URL", c.SessionURL}} {
		scheme, _, _ := strings.Cut(given.url, ":")
		if _, err := driverFor(scheme, drivers); given.url != "" && err != nil {
			faults = append(faults, Fault{given.variable, "", err.Error()})
		}
	}
	return faults
}

// read takes the variable or the content of the file that its _FILE form names, and forgets both names. An empty one
// is as good as unset: that is how compose files pass on what they lack.
func (s setting) read(env map[string]string) (string, error) {
	text, file := strings.TrimSpace(env[s.name]), env[s.name+"_FILE"]
	delete(env, s.name)
	delete(env, s.name+"_FILE")
	switch {
	case text != "" && file != "":
		return text, errors.New("is given twice: unset it or " + s.name + "_FILE")
	case file != "":
		content, err := os.ReadFile(file) //nolint:gosec // the operator names the file
		if err != nil {
			return "", fmt.Errorf("%s_FILE cannot be read; name a file that this process may read: %w", s.name, err)
		}
		return strings.TrimRight(string(content), "\r\n"), nil
	}
	return text, nil
}

// unknown warns of variables that look like ours and are not: a misspelt one would silently do nothing.
func unknown(env map[string]string) []Warning {
	var warnings []Warning
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(name, "PORTICO_TEST_") {
			continue
		}
		message := "is not a setting of this version and is ignored"
		if meant := nearest(name); meant != "" {
			message += "; did you mean " + meant + "?"
		}
		warnings = append(warnings, Warning{name, message})
	}
	return warnings
}

// nearest is the setting whose name is at most three edits away, or "".
func nearest(name string) string {
	best, least := "", 4
	for _, s := range settings {
		for _, known := range []string{s.name, s.name + "_FILE"} {
			if d := edits(name, known); d < least {
				best, least = known, d
			}
		}
	}
	return best
}

// edits is the Levenshtein distance: how many characters to insert, delete or replace.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// keepFor reads a time like 720h or 30d, of at least so many days.
func keepFor(field *time.Duration, text string, least int) error {
	const day = 24 * time.Hour
	d, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * day
	}
	if err != nil || d < time.Duration(least)*day || d > 3650*day {
		return fmt.Errorf("give a time such as 30d or 720h, of at least %d day(s)", least)
	}
	*field = d
	return nil
}

func databaseURL(field *string, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return errors.New("give a URL such as sqlite:portico.db")
	}
	*field = text
	return nil
}

func list(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func prefixes(text string) ([]netip.Prefix, error) {
	var found []netip.Prefix
	for _, item := range list(text) {
		p, err := netip.ParsePrefix(item)
		if address, bad := netip.ParseAddr(item); bad == nil {
			p, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			return nil, errors.New("give a comma list of addresses and networks, such as 10.0.0.0/8")
		}
		found = append(found, p.Masked())
	}
	return found, nil
}

func parseKeys(text string, kms []KMS) ([]seal.Key, error) {
	var keys []seal.Key
	for i, item := range list(text) {
		keyID, encoded, ok := strings.Cut(item, ":")
		if !ok || keyID == "" || len(keyID) > 255 {
			return nil, fmt.Errorf("entry %d is not id:base64; %s", i+1, makeKey)
		}
		if slices.ContainsFunc(keys, func(k seal.Key) bool { return k.ID == keyID }) {
			return nil, fmt.Errorf("entry %d has the id of an earlier one: each key needs its own", i+1)
		}
		content, err := keyBytes(keyID, encoded, kms)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		keys = append(keys, seal.Key{ID: keyID, Secret: content})
	}
	return keys, nil
}

const (
	makeKey  = `make one with: portico keys make, or: echo "k1:$(openssl rand -base64 32)"`
	needKeys = "must be given for this database; " + makeKey
)

// embedded reports whether a database of this scheme comes with a key of its own.
func embedded(scheme string) bool { return scheme == "sqlite" || scheme == "memory" }
