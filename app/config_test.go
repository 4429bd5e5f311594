package app

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-sso/portico/core/secret"
	"github.com/portico-sso/portico/ports/store"
	"github.com/portico-sso/portico/ports/store/seal"
)

// testKey is an encryption key and its text in PORTICO_ENCRYPTION_KEYS.
func testKey(id string, fill byte) (seal.Key, string) {
	k := seal.Key{ID: id, Secret: [32]byte{fill}}
	return k, id + ":" + base64.StdEncoding.EncodeToString(k.Secret[:])
}

func addresses(texts ...string) (found []netip.Prefix) {
	for _, t := range texts {
		found = append(found, netip.MustParsePrefix(t))
	}
	return found
}

var longKey = strings.Repeat("k", shortKey)

// exampleDriver is that of a main with an engine of its own.
var exampleDriver = WithDriver(store.Driver{Schemes: []string{"exampledb", "examplecache"}})

func TestConfigDefaults(t *testing.T) {
	want := Config{
		Listen: ":5225", PublicURL: "http://localhost:5225", DatabaseURL: "sqlite:portico.db", SessionURL: "sqlite:portico.db",
		SAMLEntityID: "http://localhost:5225/.well-known/sp-metadata", KeepEvents: 30 * 24 * time.Hour, KeepDeliveries: 7 * 24 * time.Hour, RateLimit: ptr(3000),
	}
	loaded, warnings, err := LoadConfig([]string{"HOME=/root", "PORTICO_LISTEN=", "PORTICO_ADMIN_KEYS_FILE="})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("an empty environment: %v, %v", warnings, err)
	}
	if !reflect.DeepEqual(loaded, want) {
		t.Errorf("from an empty environment: %+v, want %+v", loaded, want)
	}
	if literal := (Config{}).withDefaults(); !reflect.DeepEqual(literal, want) {
		t.Errorf("from a literal: %+v, want %+v", literal, want)
	}
}

func TestConfigReadsEverySetting(t *testing.T) {
	first, firstText := testKey("2026", 1)
	second, secondText := testKey("2025", 2)
	want := Config{
		Listen: "127.0.0.1:8080", PublicURL: "https://sso.example.com/base",
		DatabaseURL: "exampledb://u:p@db/portico", SessionURL: "examplecache://cache:6379",
		AdminKeys: secret.List{longKey, longKey + "2"}, ClientSecretVerifier: "shared",
		EncryptionKeys: []seal.Key{first, second}, SAMLEntityID: "https://saml.example.com", LogLevel: slog.LevelDebug,
		TrustedProxies:       addresses("10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"),
		AllowPrivateNetworks: addresses("10.1.0.0/16"), PolisRedirectMatch: true, CertificateHeader: "Client-Cert", AutoMigrate: ptr(true),
		WebhookURL: "https://hooks.example.com/a?b=c", WebhookSecret: "hush", KeepEvents: 60 * 24 * time.Hour, KeepDeliveries: 36 * time.Hour,
		RateLimit: ptr(0), PolisJSONErrorPage: true, PolisSubjectPrefix: true, PolisFlattenRaw: true, PolisWebhookBatch: 25,
		GoogleClientID: "1.apps", GoogleClientSecret: "GOCSPX-x",
	}
	values := map[string]string{
		"PORTICO_LISTEN": "127.0.0.1:8080", "PORTICO_PUBLIC_URL": "https://sso.example.com/base/",
		"PORTICO_DATABASE_URL": "exampledb://u:p@db/portico", "PORTICO_SESSION_URL": "examplecache://cache:6379",
		"PORTICO_ADMIN_KEYS": longKey + " , " + longKey + "2,", "PORTICO_CLIENT_SECRET_VERIFIER": "shared",
		"PORTICO_ENCRYPTION_KEYS": firstText + "," + secondText, "PORTICO_SAML_ENTITY_ID": "https://saml.example.com",
		"PORTICO_LOG_LEVEL": "debug", "PORTICO_TRUSTED_PROXIES": "10.1.2.3/8,192.0.2.7, 2001:db8::1",
		"PORTICO_ALLOW_PRIVATE_NETWORKS": "10.1.0.0/16", "PORTICO_POLIS_REDIRECT_MATCH": "true", "PORTICO_CLIENT_CERTIFICATE_HEADER": "client-cert", "PORTICO_AUTO_MIGRATE": "true",
		"PORTICO_WEBHOOK_URL": "https://hooks.example.com/a?b=c", "PORTICO_WEBHOOK_SECRET": "hush", "PORTICO_KEEP_EVENTS": "60d", "PORTICO_KEEP_DELIVERIES": "36h",
		"PORTICO_RATE_LIMIT": "0", "PORTICO_POLIS_JSON_ERROR_PAGE": "true", "PORTICO_POLIS_SUBJECT_PREFIX": "1", "PORTICO_POLIS_FLATTEN_RAW_CLAIMS": "true", "PORTICO_POLIS_WEBHOOK_BATCH_SIZE": "25",
		"PORTICO_GOOGLE_CLIENT_ID": "1.apps", "PORTICO_GOOGLE_CLIENT_SECRET": "GOCSPX-x",
	}
	if len(values) != len(settings) {
		t.Errorf("%d settings are tried of %d", len(values), len(settings))
	}
	var direct, byFile []string
	for name, value := range values {
		direct = append(direct, name+"="+value)
		path := filepath.Join(t.TempDir(), "value")
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		byFile = append(byFile, name+"_FILE="+path)
	}
	for form, environ := range map[string][]string{"directly": direct, "by file": byFile} {
		loaded, warnings, err := LoadConfig(environ, exampleDriver)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", form, warnings, err)
		}
		if !reflect.DeepEqual(loaded, want) {
			t.Errorf("%s: %+v, want %+v", form, loaded, want)
		}
	}
}

func TestREADMETellsEverySetting(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if !strings.Contains(string(readme), "\n| `"+s.name+"` |") {
			t.Errorf("the README's table lacks %s", s.name)
		}
	}
}

func TestConfigPrivateNetworks(t *testing.T) {
	for text, want := range map[string][]netip.Prefix{"true": privateNetworks, "false": nil, "::1,10.0.0.0/8": addresses("::1/128", "10.0.0.0/8")} {
		c, _, err := LoadConfig([]string{"PORTICO_ALLOW_PRIVATE_NETWORKS=" + text})
		if err != nil || !slices.Equal(c.AllowPrivateNetworks, want) {
			t.Errorf("%s: %v, %v", text, c.AllowPrivateNetworks, err)
		}
	}
	metadata := netip.MustParseAddr("169.254.169.254")
	if slices.ContainsFunc(privateNetworks, func(p netip.Prefix) bool { return p.Contains(metadata) }) {
		t.Error("true opens the address at which clouds hand out credentials")
	}
}

func TestConfigFaults(t *testing.T) {
	_, key := testKey("k1", 1)
	for _, c := range []struct{ name, value, cure string }{
		{"PORTICO_LISTEN", "5225", "host:port"},
		{"PORTICO_LISTEN", ":http", "host:port"},
		{"PORTICO_LISTEN", ":70000", "host:port"},
		{"PORTICO_PUBLIC_URL", "sso.example.com", "http or https URL"},
		{"PORTICO_PUBLIC_URL", "ftp://sso.example.com", "http or https URL"},
		{"PORTICO_PUBLIC_URL", "https://sso.example.com/?a=b", "without query"},
		{"PORTICO_DATABASE_URL", "portico.db", "sqlite:portico.db"},
		{"PORTICO_SESSION_URL", "portico.db", "sqlite:portico.db"},
		{"PORTICO_ENCRYPTION_KEYS", "k1", "openssl rand"},
		{"PORTICO_ENCRYPTION_KEYS", "k1:c2hvcnQ=", "openssl rand"},
		{"PORTICO_ENCRYPTION_KEYS", strings.TrimPrefix(key, "k1"), "openssl rand"},
		{"PORTICO_ENCRYPTION_KEYS", key + "," + key, "entry 2"},
		{"PORTICO_SAML_ENTITY_ID", "two words", "URI"},
		{"PORTICO_LOG_LEVEL", "loud", "debug, info, warn or error"},
		{"PORTICO_TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/8"},
		{"PORTICO_TRUSTED_PROXIES", "proxy.example.com", "10.0.0.0/8"},
		{"PORTICO_ALLOW_PRIVATE_NETWORKS", "some", "true, false"},
		{"PORTICO_ADMIN_KEYS", longKey + "\n" + longKey, "by commas"},
		{"PORTICO_ADMIN_KEYS", "Bearer " + longKey, "by commas"},
		{"PORTICO_SESSION_URL", "exampledb://db", "there are: "},
		{"PORTICO_POLIS_REDIRECT_MATCH", "maybe", "true or false"},
		{"PORTICO_CLIENT_CERTIFICATE_HEADER", "a:b", "name of a header"},
		{"PORTICO_AUTO_MIGRATE", "maybe", "true or false"},
		{"PORTICO_WEBHOOK_URL", "hooks.example.com", "https"},
		{"PORTICO_WEBHOOK_SECRET", "alone", "together"},
		{"PORTICO_KEEP_EVENTS", "1d", "at least 7"},
		{"PORTICO_KEEP_DELIVERIES", "-1d", "at least 1"},
		{"PORTICO_RATE_LIMIT", "-1", "3000"},
		{"PORTICO_POLIS_SUBJECT_PREFIX", "maybe", "true or false"},
		{"PORTICO_ADMIN_KEYS_FILE", "/does/not/exist", "cannot be read"},
	} {
		_, _, err := LoadConfig([]string{c.name + "=" + c.value})
		var faults ConfigError
		if !errors.As(err, &faults) || len(faults) != 1 {
			t.Errorf("%s=%s: %v, want one fault", c.name, c.value, err)
			continue
		}
		if !strings.HasPrefix(c.name, faults[0].Variable) || !strings.Contains(faults[0].Cure, c.cure) {
			t.Errorf("%s=%s: %v, want a cure with %q", c.name, c.value, err, c.cure)
		}
	}
}

func TestConfigTellsEveryFaultAtOnceAndNoSecret(t *testing.T) {
	_, _, err := LoadConfig([]string{
		"PORTICO_LISTEN=nonsense", "PORTICO_DATABASE_URL=//u:planted@db", "PORTICO_ENCRYPTION_KEYS=planted",
		"PORTICO_ADMIN_KEYS=planted", "PORTICO_ADMIN_KEYS_FILE=/planted", "PORTICO_LOG_LEVEL=loud",
	})
	if err == nil {
		t.Fatal("no fault is found")
	}
	for _, want := range []string{
		`PORTICO_LISTEN="nonsense"`, "PORTICO_DATABASE_URL:", "PORTICO_ENCRYPTION_KEYS:",
		"PORTICO_ADMIN_KEYS: is given twice", `PORTICO_LOG_LEVEL="loud"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "planted") {
		t.Errorf("a secret is shown in:\n%v", err)
	}
}

// Each setting is given a wrong value: the one start names them all, with a cure.
func TestConfigTellsTheFaultOfEverySetting(t *testing.T) {
	wrong := map[string]string{
		"PORTICO_LISTEN": "x", "PORTICO_PUBLIC_URL": "x", "PORTICO_DATABASE_URL": "cassandra://db", "PORTICO_SESSION_URL": "x", "PORTICO_ADMIN_KEYS": "a b",
		"PORTICO_ENCRYPTION_KEYS": "x", "PORTICO_SAML_ENTITY_ID": "a b", "PORTICO_LOG_LEVEL": "x", "PORTICO_TRUSTED_PROXIES": "x",
		"PORTICO_ALLOW_PRIVATE_NETWORKS": "x", "PORTICO_POLIS_REDIRECT_MATCH": "x", "PORTICO_CLIENT_CERTIFICATE_HEADER": "a b", "PORTICO_AUTO_MIGRATE": "x",
		"PORTICO_WEBHOOK_URL": "x", "PORTICO_WEBHOOK_SECRET": "whsec_?", "PORTICO_KEEP_EVENTS": "x", "PORTICO_KEEP_DELIVERIES": "x",
		"PORTICO_RATE_LIMIT": "x", "PORTICO_POLIS_JSON_ERROR_PAGE": "x", "PORTICO_POLIS_SUBJECT_PREFIX": "x", "PORTICO_POLIS_FLATTEN_RAW_CLAIMS": "x", "PORTICO_POLIS_WEBHOOK_BATCH_SIZE": "501",
		"PORTICO_GOOGLE_CLIENT_ID": "a b", "PORTICO_GOOGLE_CLIENT_SECRET": "a b",
	}
	environ := []string{"PORTICO_CLIENT_SECRET_VERIFIER_FILE=/does/not/exist"} // its text may be any
	for name, value := range wrong {
		environ = append(environ, name+"="+value)
	}
	_, _, err := LoadConfig(environ)
	var faults ConfigError
	if !errors.As(err, &faults) || len(faults) != len(settings) {
		t.Errorf("%v, want a fault of each of the %d settings", err, len(settings))
	}
	for _, s := range settings {
		if !faults.mentions(s.name) {
			t.Errorf("%s is not named in:\n%v", s.name, err)
		}
	}
	for _, f := range faults {
		if f.Cure == "" {
			t.Errorf("%s: no cure", f.Variable)
		}
	}
}

func TestConfigNeedsKeysForAServer(t *testing.T) {
	_, _, err := LoadConfig([]string{"PORTICO_DATABASE_URL=exampledb://db/portico", "PORTICO_LISTEN=nonsense"}, exampleDriver)
	var faults ConfigError
	if !errors.As(err, &faults) || !faults.mentions("PORTICO_ENCRYPTION_KEYS") || !faults.mentions("PORTICO_LISTEN") {
		t.Errorf("got %v, want both faults", err)
	}
	_, _, err = LoadConfig([]string{"PORTICO_DATABASE_URL=exampledb://db/portico", "PORTICO_ENCRYPTION_KEYS=bad"}, exampleDriver)
	if !errors.As(err, &faults) || len(faults) != 1 {
		t.Errorf("got %v, want one fault", err)
	}
	if _, _, err = LoadConfig([]string{"PORTICO_DATABASE_URL=memory:"}); err != nil {
		t.Errorf("a memory database: %v", err)
	}
}

func TestConfigWarnings(t *testing.T) {
	_, warnings, err := LoadConfig([]string{
		"PORTICO_ADMIN_KEYS=short," + longKey, "PORTICO_PUBLC_URL=https://sso.example.com", "PORTICO_ADMIN_KEY_FILE=/key",
		"PORTICO_SOMETHING_ELSE=1", "PORTICO_TEST_REQUIRE=1", "OTHER=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, len(warnings))
	for i, w := range warnings {
		got[i] = w.Variable + " " + w.Message
	}
	for i, want := range []string{
		"PORTICO_ADMIN_KEY_FILE is not a setting of this version and is ignored; did you mean PORTICO_ADMIN_KEYS_FILE?",
		"PORTICO_PUBLC_URL is not a setting of this version and is ignored; did you mean PORTICO_PUBLIC_URL?",
		"PORTICO_SOMETHING_ELSE is not a setting of this version and is ignored",
		"PORTICO_ADMIN_KEYS an admin key has fewer than 32 characters; make one with: openssl rand -hex 32",
	} {
		if i >= len(got) || got[i] != want {
			t.Errorf("warning %d of %q, want %q", i, got, want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d warnings: %q", len(got), got)
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "adc", 1}, {"kitten", "sitting", 3}} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("edits(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestConfigShowsNoSecret(t *testing.T) {
	key := seal.Key{ID: "k1", Secret: [32]byte([]byte(strings.Repeat("planted-", 4)))}
	c := Config{
		Listen: "shown", DatabaseURL: "postgres://u:planted@db/name?password=planted", SessionURL: "redis://:planted@[::1",
		AdminKeys: secret.List{"planted"}, ClientSecretVerifier: "planted", EncryptionKeys: []seal.Key{key},
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("config", "config", c)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("config", "config", &c)
	for _, shown := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, &c), string(encoded), logged.String()} {
		asNumbers := fmt.Sprint([]byte("planted"))
		for _, form := range []string{"planted", strings.Trim(asNumbers, "[]"), strings.ReplaceAll(strings.Trim(asNumbers, "[]"), " ", ","), "0x70, 0x6c"} {
			if strings.Contains(shown, form) {
				t.Errorf("%q is in %s", form, shown)
			}
		}
		if !strings.Contains(shown, "shown") || !strings.Contains(shown, "postgres://db/name") {
			t.Errorf("too little is in %s", shown)
		}
	}
	if c.DatabaseURL != "postgres://u:planted@db/name?password=planted" || c.EncryptionKeys[0] != key {
		t.Error("showing a configuration has changed it")
	}
}
