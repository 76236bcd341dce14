package checks

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// built is what `kubectl apply -k deploy/kubernetes/FOLDER` would send.
func built(t *testing.T, folder string) map[string]map[string]any {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	result, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), filepath.Join("../kubernetes", folder))
	check(t, err)
	found := map[string]map[string]any{}
	for _, resource := range result.Resources() {
		object, err := resource.Map()
		check(t, err)
		found[resource.GetKind()] = runtime.DeepCopyJSON(asJSON(object).(map[string]any))
		if resource.GetKind() != "Namespace" && resource.GetNamespace() != "csrms" {
			t.Errorf("%s is in the namespace %q", resource.GetKind(), resource.GetNamespace())
		}
	}
	return found
}

// asJSON turns the whole numbers of a YAML document into those of a JSON one.
func asJSON(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			value[key] = asJSON(inner)
		}
	case []any:
		for index, inner := range value {
			value[index] = asJSON(inner)
		}
	case int:
		return int64(value)
	}
	return value
}

func TestTheAPIServerTakesWhatIsBuilt(t *testing.T) {
	crds := definitions(t)
	for folder, kinds := range map[string][]string{
		"overlays/cpu": {"ConfigMap", "Namespace", "NetworkPolicy", "RayJob"},
		"overlays/gpu": {"ConfigMap", "Namespace", "NetworkPolicy", "RayJob"},
		"cluster":      {"ConfigMap", "Namespace", "NetworkPolicy", "RayCluster"},
	} {
		t.Run(folder, func(t *testing.T) {
			objects := built(t, folder)
			var found []string
			for kind, object := range objects {
				found = append(found, kind)
				for _, complaint := range complaints(crds, object) {
					t.Errorf("%s: %s", kind, complaint)
				}
			}
			slices.Sort(found)
			if !slices.Equal(found, kinds) {
				t.Errorf("got %v, expected %v", found, kinds)
			}
			for _, object := range objects {
				if object["kind"] == "RayJob" || object["kind"] == "RayCluster" {
					refersToWhatIsThere(t, objects, object)
				}
			}
		})
	}
}

// refersToWhatIsThere: the configuration is the one that was built, and Secrets are those that deploy/README.md makes.
func refersToWhatIsThere(t *testing.T, objects map[string]map[string]any, object map[string]any) {
	t.Helper()
	pods, err := podsOf(object)
	check(t, err)
	config := objects["ConfigMap"]["metadata"].(map[string]any)["name"]
	for name, pod := range pods {
		for _, volume := range pod.Spec.Volumes {
			if volume.ConfigMap != nil && volume.ConfigMap.Name != config {
				t.Errorf("%s mounts the ConfigMap %s, there is %s", name, volume.ConfigMap.Name, config)
			}
		}
		for _, container := range pod.Spec.Containers {
			for _, variable := range container.Env {
				if variable.ValueFrom == nil || variable.ValueFrom.SecretKeyRef == nil {
					continue
				}
				secret := variable.ValueFrom.SecretKeyRef.Name
				if secret != "csrms-s3" && secret != "csrms-neo4j" {
					t.Errorf("%s reads the Secret %s, which nobody makes", name, secret)
				}
				if secret == "csrms-neo4j" && name != "head" {
					t.Errorf("%s knows the login of Neo4j and has no use for it", name)
				}
			}
		}
	}
}

func TestTheClusterHasThePodsOfTheJob(t *testing.T) {
	job, err := podsOf(built(t, "overlays/gpu")["RayJob"])
	check(t, err)
	cluster, err := podsOf(built(t, "cluster")["RayCluster"])
	check(t, err)
	delete(job, "submitter")
	if len(job) != 3 || !equality.Semantic.DeepEqual(job, cluster) {
		t.Error("the pods of cluster/ are others than those of overlays/gpu")
	}
}

// What must be refused, made from what is taken: the job of overlays/gpu with one thing changed.
func TestWhatIsWrongIsRefused(t *testing.T) {
	const cluster = "spec.rayClusterSpec."
	const head = cluster + "headGroupSpec.template.spec."
	const gpu = cluster + "workerGroupSpecs.1."
	crds := definitions(t)
	right := built(t, "overlays/gpu")["RayJob"]
	for _, wrong := range []struct {
		path  string
		value any // nil: taken away
		says  string
	}{
		// Unknown fields.
		{"spec.entryPoint", "csrms run", "unknown field spec.entryPoint"},
		{head + "containers.0.imagePullpolicy", "Always", "unknown field"},
		{gpu + "maxreplicas", int64(3), "unknown field"},
		// The schema.
		{cluster + "headGroupSpec", nil, "headGroupSpec: Required value"},
		{gpu + "groupName", nil, "groupName: Required value"},
		{gpu + "replicas", "two", "must be of type integer"},
		{cluster + "authOptions.mode", "none", "Unsupported value"},
		{cluster + "autoscalerOptions.version", "v3", "Unsupported value"},
		{"spec.preRunningDeadlineSeconds", int64(0), "greater than or equal to 1"},
		{head + "containers.0.name", nil, "name: Required value"},
		{head + "containers.0.resources.limits.memory", "much", "Invalid value"},
		// The CEL rules.
		{"spec.managedBy", "me", "the managedBy field value must be either"},
		{"spec.deletionStrategy", map[string]any{}, "deletionStrategy requires either"},
		{
			"spec.deletionStrategy",
			map[string]any{"deletionRules": []any{map[string]any{"policy": "DeleteCluster", "condition": map[string]any{}}}},
			"requires either the JobStatus or the JobDeploymentStatus",
		},
		// Pods that the namespace does not let in.
		{head + "securityContext.runAsNonRoot", false, "runAsNonRoot != true"},
		{head + "securityContext.runAsUser", int64(0), "runAsUser=0"},
		{head + "containers.0.securityContext", nil, "allowPrivilegeEscalation != false"},
		{head + "volumes.2", map[string]any{"name": "scratch", "hostPath": map[string]any{"path": "/tmp"}}, "hostPath"},
		// Ours.
		{gpu + "template.spec.containers.0.image", nil, "has no image"},
		{cluster + "authOptions", nil, "anybody may use the cluster"},
		{"spec.submitterPodTemplate", nil, "without a submitter"},
		{gpu + "template.spec.volumes.1", map[string]any{"name": "other", "emptyDir": map[string]any{}}, "no volume scratch"},
		{gpu + "template.spec.containers.0.resources.limits.memory", "1Gi", "more is asked for than allowed"},
		{head + "containers.0.env.0", map[string]any{"name": "NEO4J_PASSWORD", "value": "neo4j"}, "stands in the manifest"},
	} {
		t.Run(strings.TrimPrefix(wrong.path, "spec."), func(t *testing.T) {
			object := runtime.DeepCopyJSON(right)
			set(t, object, strings.Split(wrong.path, "."), wrong.value)
			found := complaints(crds, object)
			if !slices.ContainsFunc(found, func(said string) bool { return strings.Contains(said, wrong.says) }) {
				t.Errorf("got %q, expected %q", found, wrong.says)
			}
		})
	}
	for _, kind := range []string{"Namespace", "ConfigMap", "NetworkPolicy"} {
		object := runtime.DeepCopyJSON(built(t, "overlays/gpu")[kind])
		object["specs"] = map[string]any{}
		if found := complaints(crds, object); len(found) == 0 || !strings.Contains(found[0], "unknown field") {
			t.Errorf("%s: got %q", kind, found)
		}
	}
}

// set puts a value at a path through maps and lists, which must be there, and takes away where it is nil.
func set(t *testing.T, object any, path []string, value any) {
	t.Helper()
	switch inner := object.(type) {
	case map[string]any:
		switch {
		case len(path) > 1:
			set(t, inner[path[0]], path[1:], value)
		case value == nil:
			if _, found := inner[path[0]]; !found {
				t.Fatalf("there is no %s to take away", path[0])
			}
			delete(inner, path[0])
		default:
			inner[path[0]] = value
		}
	case []any:
		index, err := strconv.Atoi(path[0])
		check(t, err)
		if len(path) > 1 {
			set(t, inner[index], path[1:], value)
		} else {
			inner[index] = value
		}
	default:
		t.Fatalf("nothing at %s", path[0])
	}
}
