package checks

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// parsed are the stages of a Dockerfile, and what the linter says of it.
func parsed(text []byte) (stages []instructions.Stage, said []string, err error) {
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	warn := func(rule, _, _, what string, _ []parser.Range) { said = append(said, rule+": "+what) }
	stages, _, err = instructions.Parse(tree.AST, linter.New(&linter.Config{Warn: warn}))
	return stages, said, err
}

func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	check(t, err)
	stages, said, err := parsed(text)
	check(t, err)
	if len(said) > 0 {
		t.Errorf("got %q", said)
	}
	file, err := os.Open("../Dockerfile.dockerignore")
	check(t, err)
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	check(t, err)
	ignored, err := patternmatcher.New(patterns)
	check(t, err)

	var names []string
	for _, stage := range stages {
		names = append(names, stage.Name)
		user := ""
		for _, command := range stage.Commands {
			switch command := command.(type) {
			case *instructions.UserCommand:
				user = command.User
			case *instructions.CopyCommand:
				for _, source := range command.SourcePaths {
					_, err := os.Stat(filepath.Join("../..", source))
					check(t, err)
					out, err := ignored.MatchesOrParentMatches(source)
					check(t, err)
					if out {
						t.Errorf("%s is copied and ignored", source)
					}
				}
			}
		}
		if user != "1000:1000" {
			t.Errorf("%s runs as %q", stage.Name, user)
		}
	}
	if strings.Join(names, " ") != "cpu cuda" {
		t.Errorf("got %q", names)
	}
	for _, private := range []string{"runs/digits/run.json", ".venv/bin/python", ".git/config", ".neo4j/connection.env"} {
		if out, err := ignored.MatchesOrParentMatches(private); err != nil || !out {
			t.Errorf("%s would go into the image", private)
		}
	}
}

func TestDockerfileThatIsWrong(t *testing.T) {
	for text, word := range map[string]string{
		"FROM a\nCOPPY b c\n":     "unknown instruction",
		"FROM a\nCOPY --from\n":   "COPY requires",
		"FROM a\nUSER\n":          "requires exactly one argument",
		"FROM a\nMAINTAINER me\n": "MaintainerDeprecated",
	} {
		_, said, err := parsed([]byte(text))
		if all := strings.Join(append(said, strings.Join(lines(err), "")), " "); !strings.Contains(all, word) {
			t.Errorf("got %q, expected %q", all, word)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), 0o600))
}
