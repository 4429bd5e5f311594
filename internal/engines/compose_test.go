package engines

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/portico-sso/portico/app"
)

const checkout = "../.."

// load reads a compose file as docker compose does, with no other environment than that given.
func load(t *testing.T, file string, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{file}, cli.WithProfiles(profiles), cli.WithName("test"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeFileBringsUpPorticoOnEachDatabase(t *testing.T) {
	for profile, scheme := range map[string]string{"postgres": "postgres:", "mysql": "mysql:", "mongo": "mongodb:", "redis": "redis:"} {
		t.Run(profile, func(t *testing.T) {
			project := load(t, checkout+"/docker-compose.yml", profile)
			names := project.ServiceNames()
			slices.Sort(names)
			want := []string{"keys", profile, "portico-" + profile}
			slices.Sort(want)
			if !slices.Equal(names, want) {
				t.Fatalf("services %v, want %v", names, want)
			}
			portico, database := project.Services["portico-"+profile], project.Services[profile]
			if database.HealthCheck == nil || len(database.Ports) > 0 || len(database.Volumes) == 0 {
				t.Errorf("%s has no health check, is open to the outside, or keeps nothing", profile)
			}
			if portico.DependsOn[profile].Condition != types.ServiceConditionHealthy {
				t.Errorf("Portico does not wait for %s", profile)
			}
			if u := *portico.Environment["PORTICO_DATABASE_URL"]; !strings.HasPrefix(u, scheme) || !strings.Contains(u, profile+":") {
				t.Errorf("PORTICO_DATABASE_URL=%s", u)
			}
			keys := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(keys, []byte("k1:"+strings.Repeat("A", 43)+"=\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			environment := []string{"PORTICO_ENCRYPTION_KEYS_FILE=" + keys}
			for name, value := range portico.Environment {
				if name != "PORTICO_ENCRYPTION_KEYS_FILE" && name != "PORTICO_DATABASE_URL" {
					environment = append(environment, name+"="+*value)
				}
			}
			if _, warnings, err := app.LoadConfig(environment); err != nil || len(warnings) > 0 {
				t.Errorf("Portico does not take the settings: %v %v", warnings, err)
			}
		})
	}
}

// composeProgram is Docker Compose: that of this machine, or of the folder of Debian sid.
func composeProgram(t *testing.T) []string {
	t.Helper()
	if run(t.Context(), dieWithUs, "docker", "compose", "version") == nil {
		return []string{"docker", "compose"}
	}
	root, whole := sidRoot()
	program := filepath.Join(root, "usr/libexec/docker/cli-plugins/docker-compose")
	if !whole || run(t.Context(), dieWithUs, program, "version") != nil {
		if os.Getenv("PORTICO_TEST_REQUIRE") == "1" {
			t.Fatal("Docker Compose is not there")
		}
		t.Skip("Docker Compose is not there")
	}
	return []string{program}
}

// TestComposeConfig has Docker Compose itself look at the compose files: docker compose config says nothing against them.
func TestComposeConfig(t *testing.T) {
	program := composeProgram(t)
	config := func(file string, args ...string) (string, error) {
		args = append(append(slices.Clone(program[1:]), "--file", file, "--project-directory", checkout), append(args, "config", "--quiet")...)
		out, err := exec.CommandContext(t.Context(), program[0], args...).CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{
		{checkout + "/docker-compose.yml", "--profile", "postgres"}, {checkout + "/docker-compose.yml", "--profile", "mysql"},
		{checkout + "/docker-compose.yml", "--profile", "mongo"}, {checkout + "/docker-compose.yml", "--profile", "redis"},
		{checkout + "/docker-compose.yml"}, {"compose.yml"},
	} {
		if out, err := config(args[0], args[1:]...); err != nil || out != "" {
			t.Errorf("%s: %v: %s", args, err, out)
		}
	}
	wrong := filepath.Join(t.TempDir(), "compose.yml")
	if err := os.WriteFile(wrong, []byte("services: {a: {image: a, profile: [b]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := config(wrong); err == nil || !strings.Contains(out, "profile") {
		t.Errorf("a wrong file: %v: %s", err, out)
	}
}

func TestDockerfileBuildsWithOurGo(t *testing.T) {
	module, err := os.ReadFile(checkout + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	dockerfile, err := os.ReadFile(checkout + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := bytes.Cut(module, []byte("\ngo "))
	version, _, _ := bytes.Cut(after, []byte("\n"))
	if !bytes.Contains(dockerfile, fmt.Appendf(nil, "ARG GO_VERSION=%s\n", version)) {
		t.Errorf("the Dockerfile does not build with Go %s", version)
	}
}

func TestComposeFileOfTests(t *testing.T) {
	project := load(t, "compose.yml")
	for _, e := range All {
		service, ok := project.Services[string(e)]
		if !ok || len(service.Ports) != 1 || fmt.Sprint(service.Ports[0].Target) != inCompose[e].port || service.HealthCheck == nil {
			t.Errorf("%s: %+v", e, service.Ports)
		}
	}
}

// A docker that keeps its commands and starts all but Valkey stands for the engine that build machines lack.
func TestComposeStartsServers(t *testing.T) {
	bin := t.TempDir()
	record := filepath.Join(bin, "record")
	script := `#!/bin/sh
echo "$*" >> ` + record + `
case "$*" in
*" up "*valkey) echo no such image >&2; exit 1 ;;
*" port postgres 5432") echo 127.0.0.1:40001 ;;
*" port mongo 27017") echo 127.0.0.1:40002 ;;
*--file*) grep -q services: || exit 1 ;;
esac
`
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	if !dockerRuns(t.Context()) {
		t.Fatal("docker is not found")
	}
	s := &Shared{}
	var said strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
	rest := s.compose(t.Context(), say, []Engine{Postgres, Valkey, Mongo})
	if !slices.Equal(rest, []Engine{Valkey}) || !strings.Contains(said.String(), "no such image") {
		t.Errorf("left to others: %v\n%s", rest, said.String())
	}
	want := []string{"TEST_POSTGRES_URL=postgres://portico:portico@127.0.0.1:40001/postgres?sslmode=disable",
		"TEST_MONGO_URL=mongodb://127.0.0.1:40002/portico?directConnection=true"}
	if !slices.Equal(s.Variables, want) {
		t.Errorf("%q", s.Variables)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if commands, _ := os.ReadFile(record); !strings.Contains(string(commands), " down --volumes") {
		t.Errorf("the containers stay:\n%s", commands)
	}
}

func TestDockerThatDoesNotAnswer(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	if dockerRuns(context.Background()) {
		t.Error("a docker without an engine is used")
	}
}
