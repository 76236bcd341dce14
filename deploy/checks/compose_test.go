package checks

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const server, ray = "../compose.yaml", "../compose.ray.yaml"

// loaded is what `docker compose` would start; only the variables that are given are set.
func loaded(variables []string, files ...string) (*types.Project, error) {
	options, err := cli.NewProjectOptions(files, cli.WithEnv(variables))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

func TestComposeStartsNothingWithoutSecrets(t *testing.T) {
	password, token := "NEO4J_PASSWORD=long enough", "RAY_AUTH_TOKEN=0123"
	for name, given := range map[string]struct {
		variables []string
		files     []string
		missing   string
	}{
		"server":                   {[]string{password}, []string{server}, ""},
		"server without password":  {nil, []string{server}, "NEO4J_PASSWORD"},
		"server, empty password":   {[]string{"NEO4J_PASSWORD="}, []string{server}, "NEO4J_PASSWORD"},
		"cluster":                  {[]string{password, token}, []string{server, ray}, ""},
		"cluster without password": {[]string{token}, []string{server, ray}, "NEO4J_PASSWORD"},
		"cluster without token":    {[]string{password}, []string{server, ray}, "RAY_AUTH_TOKEN"},
		"cluster, empty token":     {[]string{password, "RAY_AUTH_TOKEN="}, []string{server, ray}, "RAY_AUTH_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loaded(given.variables, given.files...)
			switch {
			case given.missing == "":
				check(t, err)
			case err == nil || !strings.Contains(err.Error(), given.missing):
				t.Errorf("got %v, expected a word about %s", err, given.missing)
			}
		})
	}
}

func TestComposeServices(t *testing.T) {
	project, err := loaded([]string{"NEO4J_PASSWORD=long enough", "RAY_AUTH_TOKEN=0123"}, server, ray)
	check(t, err)
	if names := strings.Join(project.ServiceNames(), " "); names != "head neo4j worker" {
		t.Fatalf("got %s", names)
	}
	for name, service := range project.Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to other machines", name, port.Published)
			}
		}
		if service.HealthCheck == nil || len(service.HealthCheck.Test) == 0 || service.MemLimit == 0 {
			t.Errorf("%s: nobody sees how it is, or it may take all memory", name)
		}
		for _, variable := range []string{"NEO4J_PASSWORD", "NEO4J_URI"} {
			if _, knows := service.Environment[variable]; knows && name == "worker" {
				t.Errorf("%s: knows %s and has no use for it", name, variable)
			}
		}
		if name == "neo4j" {
			continue
		}
		if service.Build == nil || service.Build.Target != "cpu" || service.User == "root" || service.Privileged {
			t.Errorf("%s: got %+v", name, service)
		}
		if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if mode := service.Environment["RAY_AUTH_MODE"]; mode == nil || *mode != "token" {
			t.Errorf("%s: anybody may use the cluster", name)
		}
	}
	for name, other := range map[string]string{"head": "neo4j", "worker": "head"} {
		if project.Services[name].DependsOn[other].Condition != types.ServiceConditionHealthy {
			t.Errorf("%s does not wait until %s answers", name, other)
		}
	}
}

func TestComposeRefusesWhatItDoesNotKnow(t *testing.T) {
	wrong := t.TempDir() + "/wrong.yaml"
	write(t, wrong, "services: {head: {image: csrms-dist:cpu, healthchek: {disable: true}}}\n")
	if _, err := loaded(nil, wrong); err == nil || !strings.Contains(err.Error(), "healthchek") {
		t.Errorf("got %v", err)
	}
}
