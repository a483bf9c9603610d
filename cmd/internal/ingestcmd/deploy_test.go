package ingestcmd

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"waybill/cmd/internal/place"
	"waybill/internal/cli"
)

// lasting are the exit codes of what is no better the next time.
var lasting = []int{int(cli.Usage), int(cli.NoVault), int(cli.Damaged), int(cli.Incomplete), int(cli.BadSignature), int(cli.ChainConflict)}

func deployed(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../../deploy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parses makes sure that the program takes a command line.
func parses(t *testing.T, args []string) {
	t.Helper()
	if len(args) == 0 || args[0] != "waybill-ingest" && args[0] != "/usr/local/bin/waybill-ingest" {
		t.Fatalf("what it runs is %q", args)
	}
	secrets := &place.Secrets{}
	out := &cli.Output{Stdout: io.Discard, Stderr: io.Discard}
	cmd := Ingest(out, secrets, "waybill-ingest")
	secrets.Flags(cmd.PersistentFlags())
	cmd.PersistentFlags().Bool("json", false, "") // cli.Run's
	if err := cmd.ParseFlags(args[1:]); err != nil || cmd.Flags().NArg() == 0 || cmd.Flag("share").Value.String() != "true" {
		t.Errorf("%q: %v; it names %q", args, err, cmd.Flags().Args())
	}
}

// The Job is what Kubernetes takes, as far as can be told without one: two documents with known fields, a command line that the program
// takes, and failures that are not tried again when that is in vain.
func TestJob(t *testing.T) {
	type job struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct {
			Name                string
			Labels, Annotations map[string]string
		}
		Spec struct {
			Parallelism, Completions int
			PodFailurePolicy         struct {
				Rules []struct {
					Action      string
					OnExitCodes struct {
						ContainerName string `yaml:"containerName"`
						Operator      string
						Values        []int
					} `yaml:"onExitCodes"`
					OnPodConditions []struct{ Type, Status string } `yaml:"onPodConditions"`
				}
			} `yaml:"podFailurePolicy"`
			Template struct {
				Spec struct {
					ServiceAccountName string `yaml:"serviceAccountName"`
					RestartPolicy      string `yaml:"restartPolicy"`
					Containers         []struct {
						Name, Image   string
						Command, Args []string
						Env           []struct{ Name, Value string }
						VolumeMounts  []struct{ Name string } `yaml:"volumeMounts"`
					}
					Volumes []struct{ Name string }
				}
			}
		}
	}
	var documents []job
	for d := yaml.NewDecoder(bytes.NewReader(deployed(t, "waybill-ingest-job.yaml"))); ; {
		var j job
		err := d.Decode(&j)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, j)
	}
	if len(documents) != 2 || documents[0].Kind != "ServiceAccount" || documents[1].Kind != "Job" || documents[1].APIVersion != "batch/v1" {
		t.Fatalf("%+v", documents)
	}
	spec := documents[1].Spec
	pod := spec.Template.Spec
	if spec.Parallelism < 2 || spec.Completions != 0 || pod.RestartPolicy != "Never" || pod.ServiceAccountName != documents[0].Metadata.Name || len(pod.Containers) != 1 {
		t.Errorf("%+v", spec)
	}
	c := pod.Containers[0]
	parses(t, append(c.Command, c.Args...))
	if rules := spec.PodFailurePolicy.Rules; len(rules) == 0 || rules[0].Action != "FailJob" || rules[0].OnExitCodes.ContainerName != c.Name || !slices.Equal(rules[0].OnExitCodes.Values, lasting) {
		t.Errorf("%+v, the codes should be %v", rules, lasting)
	}
	for i, v := range pod.Volumes {
		if v.Name != c.VolumeMounts[i].Name {
			t.Errorf("volume %s is mounted as %s", v.Name, c.VolumeMounts[i].Name)
		}
	}
}

func TestUnit(t *testing.T) {
	unit := string(deployed(t, "waybill-ingest@.service"))
	setting := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(unit)
		if m == nil {
			t.Fatalf("it has no %s=", name)
		}
		return m[1]
	}
	parses(t, strings.Fields(strings.ReplaceAll(setting("ExecStart"), "$FROM", "azblob://acme/arrived /mnt/disk1")))
	var codes []int
	for _, f := range strings.Fields(setting("RestartPreventExitStatus")) {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, n)
	}
	if !slices.Equal(codes, lasting) {
		t.Errorf("it isn't started again after %v, it should be %v", codes, lasting)
	}
}
