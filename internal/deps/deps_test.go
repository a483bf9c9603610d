package deps

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "waybill"

// ours says which of our packages a package may import beside the standard library. A package
// that isn't here is a mistake, and so is a line for a package that is no more. The reasons are in
// the design; those added to it since:
//
//   - internal/pack/cut and internal/pack/index are parts of internal/pack that stand alone, so that each can be measured and fuzzed alone.
//   - internal/save is what seed and incremental have in common: the engine from a tree to a commit. Verbs never import each other.
//   - internal/domain is the same for reading: one machine's chain, points and chunks, from vault and disks together.
//   - internal/heal is what a backup over the wire and a disk sent after have in common: which packs are lost, and storing again what was in them.
//   - internal/status is what a vault's documents say of its machines; it needs no key, but what it says of lost packs is what internal/heal makes of them.
//   - internal/keys is apart from internal/pack, so that no reader of packs can get at passphrases.
//   - internal/machine is what a protected machine keeps; only commands know of it.
//   - internal/mountinfo is the one reader of what is mounted on Linux; it imports nothing, so whoever asks that may have it.
//   - internal/privilege is what reading a tree and restoring one ask of Windows alike.
//   - internal/line is how much of a line may be used when. plan reads rates by it, too, and vaults are held to it by commands.
//   - internal/cli is what both programs say alike. It imports nothing of ours, so that waybill-ingest stays free of keys.
//   - ingest/claims is how many workers share an import, apart from what they import.
//   - internal/treetest and internal/fault serve tests, internal/proof is tests of the whole way, internal/winetest of what is built for Windows, internal/azurite runs the emulator of Azure, internal/bench is a program that measures the others from outside.
var ours = map[string]string{
	"manifest":                        "",
	"internal/durable":                "",
	"internal/keys":                   "manifest",
	"internal/source":                 "manifest internal/privilege internal/mountinfo",
	"internal/privilege":              "",
	"internal/pack/cut":               "",
	"internal/pack/index":             "",
	"internal/pack":                   "manifest internal/pack/cut internal/pack/index",
	"internal/catalog":                "manifest internal/pack",
	"internal/domain":                 "manifest internal/pack internal/pack/index internal/catalog internal/keys",
	"internal/save":                   "manifest incremental/journal internal/source internal/pack internal/pack/cut internal/catalog",
	"internal/status":                 "manifest internal/heal",
	"internal/heal":                   "manifest internal/pack internal/catalog internal/domain internal/save",
	"internal/restore":                "manifest internal/pack internal/pack/index internal/catalog internal/domain internal/privilege",
	"incremental/journal":             "internal/catalog",
	"incremental/journal/usn":         "incremental/journal internal/ntfs",
	"internal/save/savetest":          "manifest internal/pack internal/pack/cut internal/pack/index internal/save",
	"incremental/journal/journaltest": "incremental/journal internal/catalog internal/save internal/save/savetest internal/source internal/treetest",
	"incremental/journal/btrfs":       "incremental/journal internal/catalog internal/source",
	"incremental/volumes":             "manifest incremental/journal incremental/journal/btrfs incremental/journal/fanotify incremental/journal/usn internal/ntfs internal/ntfs/image internal/ntfs/ntfsdir internal/catalog internal/mountinfo internal/save internal/source",
	"internal/mountinfo":              "",
	"internal/line":                   "",
	"internal/proof":                  "",
	"ingest/vault/vaulttest":          "ingest/vault",
	"ingest/vault/vaultsim":           "manifest",
	"internal/machine":                "manifest internal/durable internal/keys",
	"internal/cli":                    "",
	"internal/deps":                   "",
	"internal/bench":                  "internal/azurite internal/fault",
	"internal/fault":                  "manifest internal/durable",
	"internal/treetest":               "",
	"internal/azurite":                "",
	"internal/winetest":               "",
	"hwtest":                          "internal/mountinfo",
	"seed/disk":                       "manifest internal/durable seed/disk/parity",
	"seed/disk/parity":                "manifest internal/durable",
	"seed/disk/databox":               "manifest internal/mountinfo",
	"ingest/vault":                    "internal/durable",
	"ingest/vault/azure":              "internal/durable ingest/vault",
	"ingest":                          "manifest seed/disk seed/disk/parity ingest/claims",
	"ingest/claims":                   "",
	"ingest/claims/claimstest":        "",
	"seed":                            "manifest incremental/volumes internal/source internal/durable internal/pack internal/catalog internal/domain internal/save internal/heal seed/disk seed/disk/databox seed/disk/parity",
	"ingest/carrier":                  "manifest",
	"incremental":                     "manifest incremental/volumes internal/source internal/pack internal/catalog internal/save internal/heal internal/domain internal/durable",
	"seed/plan":                       "manifest internal/source internal/pack internal/pack/cut internal/catalog internal/line seed/disk/parity",
	"cmd/waybill":                     "*",
	"cmd/waybill-ingest":              "*",
	"cmd/internal/ingestcmd":          "*",
	"cmd/internal/place":              "*",
	"internal/ntfs":                   "",
	"internal/ntfs/ntfsdir":           "internal/ntfs internal/source",
	"internal/ntfs/ntfstest":          "",
	"internal/ntfs/image":             "",

	"incremental/journal/fanotify": "internal/catalog internal/mountinfo incremental/journal",
}

// forTests are packages that only tests may import, and waybill, whose demo compares what came back by the
// yardstick of the tests, and programs that measure, which slow disks down.
var forTests = []string{"incremental/journal/journaltest", "internal/save/savetest", "internal/treetest", "internal/fault", "internal/azurite", "ingest/vault/vaulttest", "ingest/claims/claimstest"}

// theirs says which of our packages may import a module of others. Each is confined to as few as can be.
var theirs = map[string]string{
	"aead.dev/minisign":                 "manifest",
	"github.com/Azure/azure-sdk-for-go": "ingest/vault/azure",
	"filippo.io/age":                    "internal/keys internal/pack internal/save internal/save/savetest internal/domain internal/machine cmd/waybill",
	"github.com/google/uuid":            "internal/machine seed ingest/claims cmd/waybill",
	"github.com/klauspost/compress":     "internal/pack",
	"github.com/minio/crc64nvme":        "internal/pack ingest/vault/azure",
	"github.com/zeebo/blake3":           "internal/pack internal/pack/cut internal/keys",
	"github.com/schollz/progressbar/v3": "internal/cli",
	"github.com/spf13/cobra":            "internal/cli cmd/waybill cmd/waybill-ingest cmd/internal/ingestcmd",
	"github.com/klauspost/reedsolomon":  "seed/disk/parity",
	"golang.org/x/crypto":               "internal/keys",
	"golang.org/x/sync":                 "*",
	"golang.org/x/sys":                  "*",
	"golang.org/x/time":                 "internal/line",
	"github.com/spf13/pflag":            "cmd/waybill cmd/internal/place cmd/internal/ingestcmd", // cobra's flags
	"golang.org/x/term":                 "cmd/waybill cmd/internal/ingestcmd",
	"github.com/hanwen/go-fuse/v2":      "internal/fault",
	"github.com/rogpeppe/go-internal":   "", // tests only
	"go.yaml.in/yaml/v3":                "", // tests only
}

// ingestLacks is what waybill-ingest must never link: the vault's side holds no keys and opens nothing.
// (TLS, to vaults in the cloud, has ciphers of its own.)
var ingestLacks = []string{"waybill/internal/pack", "waybill/internal/catalog", "waybill/internal/keys", "waybill/internal/domain",
	"waybill/internal/restore", "filippo.io/age", "github.com/klauspost/compress", "golang.org/x/crypto/argon2"}

// imports returns what the packages of the module import, on any platform, tests aside.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..")
	found := map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := e.Name()
		if e.IsDir() && (base == "testdata" || base != ".." && strings.HasPrefix(base, ".")) {
			return fs.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		if found[pkg] == nil {
			found[pkg] = map[string]bool{}
		}
		return parseImports(name, found[pkg])
	})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for pkg, set := range found {
		all[pkg] = slices.Sorted(maps.Keys(set))
	}
	return all
}

func parseImports(name string, into map[string]bool) error {
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		into[imported] = true
	}
	return nil
}

func TestOurImports(t *testing.T) {
	all := imports(t)
	for pkg, list := range all {
		allowed, ok := ours[pkg]
		if !ok {
			t.Errorf("%s is not in the table of packages", pkg)
			continue
		}
		for _, imported := range list {
			name, ok := strings.CutPrefix(imported, module+"/")
			if !ok {
				continue
			}
			if slices.Contains(forTests, name) && !slices.Contains(forTests, pkg) && pkg != "cmd/waybill" && pkg != "internal/bench" {
				t.Errorf("%s imports %s, which is for tests", pkg, name)
			} else if !permits(allowed, name) {
				t.Errorf("%s must not import %s", pkg, name)
			}
		}
	}
}

func TestTheirImports(t *testing.T) {
	for pkg, list := range imports(t) {
		for _, imported := range list {
			first, _, _ := strings.Cut(imported, "/")
			if first == module || !strings.Contains(first, ".") {
				continue
			}
			mod := moduleOf(imported)
			if mod == "" {
				t.Errorf("%s imports %s, which is not in the table of modules", pkg, imported)
			} else if !permits(theirs[mod], pkg) {
				t.Errorf("%s must not import %s", pkg, imported)
			}
		}
	}
}

func moduleOf(imported string) string {
	for mod := range theirs {
		if imported == mod || strings.HasPrefix(imported, mod+"/") {
			return mod
		}
	}
	return ""
}

func permits(list, name string) bool {
	return list == "*" || slices.Contains(strings.Fields(list), name)
}

// A test proves that the vault's program links nothing that could open a pack: not by what it
// imports, and not by what that imports.
func TestIngestHasNoKeys(t *testing.T) {
	all := imports(t)
	const start = "cmd/waybill-ingest"
	from := map[string]string{module + "/" + start: ""}
	queue := []string{module + "/" + start}
	for len(queue) > 0 {
		pkg := queue[0]
		queue = queue[1:]
		for _, imported := range all[strings.TrimPrefix(pkg, module+"/")] {
			if _, seen := from[imported]; !seen {
				from[imported] = pkg
				queue = append(queue, imported)
			}
		}
	}
	if len(from) < 5 {
		t.Fatalf("%s imports only %v", start, from)
	}
	for imported := range from {
		for _, bad := range ingestLacks {
			if imported == bad || strings.HasPrefix(imported, bad+"/") {
				t.Errorf("%s links %s", start, way(from, imported))
			}
		}
	}
}

// way tells how an import comes in: "a, by b, by c".
func way(from map[string]string, name string) string {
	s := name
	for by := from[name]; by != ""; by = from[by] {
		s += ", by " + by
	}
	return s
}

// The reasons for a module of others must stay true: what go.mod requires directly is in the table.
func TestGoModIsInTheTable(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && strings.HasPrefix(fields[1], "v") && strings.Contains(path.Dir(fields[0]), ".") && moduleOf(fields[0]) == "" {
			t.Errorf("go.mod requires %s, which is not in the table of modules", fields[0])
		}
	}
}

// The table names no package that is gone.
func TestTableIsCurrent(t *testing.T) {
	all := imports(t)
	for pkg, list := range ours {
		if _, ok := all[pkg]; !ok {
			t.Errorf("the table has %s, the module has not", pkg)
		}
		for _, name := range strings.Fields(list) {
			if _, ok := ours[name]; !ok && name != "*" {
				t.Errorf("%s may import %s, which the table doesn't have", pkg, name)
			}
		}
	}
}
