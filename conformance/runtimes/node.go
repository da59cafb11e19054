package runtimes

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

const oldestNode = 26

// FindNode returns a Node of at least version 26: the one that Dormouse is told
// to use, the one that make fetches, or the machine's own.
func FindNode() (string, error) {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	bin, err := findBinary("Node", "DORMOUSE_NODE", "node_modules/node-"+runtime.GOOS+"-"+arch+"/bin/node")
	if err == nil {
		return bin, nil
	}
	onPath, pathErr := exec.LookPath("node")
	if pathErr != nil {
		return "", err
	}
	out, verErr := exec.Command(onPath, "--version").Output()
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if n, _ := strconv.Atoi(major); verErr != nil || n < oldestNode {
		return "", fmt.Errorf("%w; %s is %s, want %d or newer", err, onPath, strings.TrimSpace(string(out)), oldestNode)
	}
	return onPath, nil
}
