// Package checks judges what deploy/ holds by the programs that will read it, without running any: KubeRay's CRDs by the
// code of the API server, compose files by Docker's own loader, the Dockerfile by BuildKit's parser.
package checks

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

const kuberay = "github.com/ray-project/kuberay/ray-operator"

// crd is one of KubeRay's definitions, ready to judge.
type crd struct {
	structural *schema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
}

// definitions are KubeRay's, by kind, from the module that go.mod pins.
func definitions(t *testing.T) map[string]crd {
	t.Helper()
	found := map[string]crd{}
	for _, name := range []string{"rayjobs", "rayclusters"} {
		text, err := os.ReadFile(filepath.Join(moduleFolder(t), "config/crd/bases", "ray.io_"+name+".yaml"))
		check(t, err)
		var given apiextensionsv1.CustomResourceDefinition
		check(t, yaml.UnmarshalStrict(text, &given))
		var props *apiextensionsv1.JSONSchemaProps
		for _, version := range given.Spec.Versions {
			if version.Name == "v1" {
				props = version.Schema.OpenAPIV3Schema
			}
		}
		if props == nil {
			t.Fatalf("%s has no version v1", name)
		}
		var internal apiextensions.JSONSchemaProps
		check(t, apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil))
		structural, err := schema.NewStructural(&internal)
		check(t, err)
		validator, _, err := validation.NewSchemaValidator(&internal)
		check(t, err)
		rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
		if rules == nil {
			t.Fatalf("%s has no CEL rules: they would judge nothing", name)
		}
		found[given.Spec.Names.Kind] = crd{structural, validator, rules}
	}
	return found
}

// moduleFolder is where the Go command has unpacked KubeRay.
func moduleFolder(t *testing.T) string {
	t.Helper()
	found, err := build.Import(kuberay+"/apis/ray/v1", ".", build.FindOnly)
	check(t, err)
	return filepath.Join(found.Dir, "../../..")
}

// complaints are what speaks against an object: what the API server would say, and where it has no word, we.
func complaints(crds map[string]crd, object map[string]any) []string {
	kind, _ := object["kind"].(string)
	if definition, found := crds[kind]; found {
		return append(definition.complaints(object), ownRules(object)...)
	}
	// The kinds of Kubernetes itself have no CRD: an unknown field fails to decode.
	into, found := map[string]any{
		"Namespace": &corev1.Namespace{}, "ConfigMap": &corev1.ConfigMap{}, "NetworkPolicy": &networkingv1.NetworkPolicy{},
	}[kind]
	if !found {
		return []string{"a kind that nobody judges: " + kind}
	}
	text, err := yaml.Marshal(object)
	if err == nil {
		err = yaml.UnmarshalStrict(text, into)
	}
	return lines(err)
}

func (c crd) complaints(given map[string]any) []string {
	object := runtime.DeepCopyJSON(given)
	var found []string
	// Pruning would drop an unknown field in silence; schema and rules never see it.
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(object, c.structural, true, options) {
		found = append(found, "unknown field "+path)
	}
	defaulting.Default(object, c.structural)
	for _, err := range validation.ValidateCustomResource(nil, object, c.validator) {
		found = append(found, err.Error())
	}
	errs, _ := c.rules.Validate(context.Background(), nil, c.structural, object, nil, celconfig.RuntimeCELCostBudget)
	for _, err := range errs {
		found = append(found, err.Error())
	}
	return found
}

// ownRules are those that no schema has: of the pods that a job or a cluster describes.
func ownRules(object map[string]any) []string {
	pods, err := podsOf(object)
	if err != nil {
		return lines(err)
	}
	var found []string
	for name, pod := range pods {
		for _, complaint := range podComplaints(pod) {
			found = append(found, name+": "+complaint)
		}
	}
	return found
}

// podsOf are the pod templates of a RayJob or a RayCluster, by what they are for.
func podsOf(object map[string]any) (map[string]corev1.PodTemplateSpec, error) {
	text, err := yaml.Marshal(object)
	if err != nil {
		return nil, err
	}
	pods := map[string]corev1.PodTemplateSpec{}
	var cluster rayv1.RayClusterSpec
	if object["kind"] == "RayJob" {
		var job rayv1.RayJob
		if err := yaml.Unmarshal(text, &job); err != nil {
			return nil, err
		}
		if job.Spec.RayClusterSpec == nil || job.Spec.SubmitterPodTemplate == nil {
			return nil, errors.New("a job without a cluster or without a submitter of its own")
		}
		cluster = *job.Spec.RayClusterSpec
		pods["submitter"] = *job.Spec.SubmitterPodTemplate
	} else {
		var given rayv1.RayCluster
		if err := yaml.Unmarshal(text, &given); err != nil {
			return nil, err
		}
		cluster = given.Spec
	}
	if cluster.AuthOptions == nil || cluster.AuthOptions.Mode != rayv1.AuthModeToken {
		return nil, errors.New("anybody may use the cluster: authOptions.mode is not token")
	}
	pods["head"] = cluster.HeadGroupSpec.Template
	for _, group := range cluster.WorkerGroupSpecs {
		pods["workers "+group.GroupName] = group.Template
	}
	return pods, nil
}

func podComplaints(pod corev1.PodTemplateSpec) []string {
	// The level that base/namespace.yaml asks for, by the code that enforces it.
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return lines(err)
	}
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	var found []string
	for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			found = append(found, result.ForbiddenReason+": "+result.ForbiddenDetail)
		}
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Spec.Volumes {
		volumes[volume.Name] = true
	}
	for _, container := range pod.Spec.Containers {
		if container.Image == "" {
			found = append(found, container.Name+" has no image")
		}
		for _, mount := range container.VolumeMounts {
			if !volumes[mount.Name] {
				found = append(found, "no volume "+mount.Name)
			}
		}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, limited := container.Resources.Limits[name]
			request, asked := container.Resources.Requests[name]
			if !limited || !asked || request.Cmp(limit) > 0 {
				found = append(found, fmt.Sprintf("%s: %s is unbounded, or more is asked for than allowed", container.Name, name))
			}
		}
		for _, variable := range container.Env {
			if variable.Value != "" && strings.Contains(variable.Name, "PASSWORD") {
				found = append(found, variable.Name+" stands in the manifest")
			}
		}
	}
	return found
}

func lines(err error) []string {
	if err == nil {
		return nil
	}
	return []string{err.Error()}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
