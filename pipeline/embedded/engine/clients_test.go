package engine_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The clients that are not Go's run as programs of their own (testdata/clients), each against an engine of its own.
// Their libraries come from lock files and are kept below $WHENCE_TEST_CACHE.

func TestClickHouseConnectForPython(t *testing.T) {
	python := tool(t, "python3")
	dir := cached(t, "python", "requirements.txt", func(dir, source string) {
		run(t, "", python, "-m", "venv", dir)
		run(t, "", filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", filepath.Join(source, "requirements.txt"))
	})
	runClient(t, filepath.Join(dir, "bin", "python"), filepath.Join("testdata", "clients", "python", "client_test.py"))
}

func TestTheJavaScriptClient(t *testing.T) {
	node, npm := tool(t, "node"), tool(t, "npm")
	dir := cached(t, "node", "package-lock.json", func(dir, source string) {
		for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
			copyFile(t, filepath.Join(source, name), filepath.Join(dir, name))
		}
		run(t, dir, npm, "ci", "--silent")
	})
	// Node looks for packages beside the script.
	script := filepath.Join(dir, "client_test.mjs")
	copyFile(t, filepath.Join("testdata", "clients", "node", "client_test.mjs"), script)
	runClient(t, node, script)
}

func TestClickHouseJDBC(t *testing.T) {
	java, mvn := tool(t, "java"), tool(t, "mvn")
	dir := cached(t, "java", "pom.xml", func(dir, source string) {
		run(t, "", mvn, "-q", "-B", "-f", filepath.Join(source, "pom.xml"),
			"org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+dir)
	})
	runClient(t, java, "-Xmx512m", "-cp", filepath.Join(dir, "*"), filepath.Join("testdata", "clients", "java", "ClientTest.java"))
}

// tool finds a program, or skips the test with a line that says so.
func tool(t *testing.T, name string) string {
	t.Helper()
	needLibrary(t)
	if testing.Short() {
		t.Skip("client libraries of other languages are left out with -short")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not here: this client is not tested", name)
	}
	return path
}

// cached returns a directory that make has filled for the present content of the lock file.
func cached(t *testing.T, language, lock string, make func(dir, source string)) string {
	t.Helper()
	root := os.Getenv("WHENCE_TEST_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		root = filepath.Join(user, "whence-test")
	}
	source := filepath.Join("testdata", "clients", language)
	want, err := os.ReadFile(filepath.Join(source, lock))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "engine-clients", language)
	stamp := filepath.Join(dir, "installed")
	if got, err := os.ReadFile(stamp); err == nil && bytes.Equal(got, want) {
		return dir
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	make(dir, source)
	if err := os.WriteFile(stamp, want, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
}

// runClient runs a client's program against an engine of its own and watches the engine's memory meanwhile.
func runClient(t *testing.T, name string, args ...string) {
	t.Helper()
	child := start(t, t.TempDir())
	c := client{addr: child.Addr()}
	c.must(t, "CREATE DATABASE client_test")
	host, port, err := net.SplitHostPort(child.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_, cutPort, err := net.SplitHostPort(cutProxy(t, child.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	peak := watchMemory(t, child.PID())
	cmd := exec.CommandContext(t.Context(), name, append(args, host, port, cutPort, "client_test")...)
	out, err := cmd.CombinedOutput()
	memory := peak()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	checkMemory(t, "while the client ran", memory)
}

// cutProxy leads to addr and breaks every connection off once a client has sent 300 kB over it.
func cutProxy(t *testing.T, addr string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				in.Close()
				continue
			}
			all.Go(func() {
				io.CopyN(out, in, 300<<10)
				out.Close()
				in.Close()
			})
			all.Go(func() {
				io.Copy(in, out)
				in.Close()
			})
		}
	})
	return listener.Addr().String()
}
