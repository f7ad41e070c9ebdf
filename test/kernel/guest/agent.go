//go:build linux

package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// agentCommand is Epitaph's own program, which says what it does on the console.
func agentCommand(args []string) *exec.Cmd {
	cmd := exec.Command("/epitaph", append([]string{"agent", "--node", "guest"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	return cmd
}

// runAgent runs the agent until it ends.
func runAgent(args []string) error { return agentCommand(args).Run() }

// startAgent leaves the agent running.
func startAgent(args []string) error {
	cmd := agentCommand(args)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { fmt.Println("guest: the agent has ended:", cmd.Wait()) }()
	return nil
}

// show prints every file of a folder, with its mode and what it holds.
func show(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		fmt.Printf("show: %s %v %s\n", name, info.Mode().Perm(), strings.TrimSpace(string(content)))
		return nil
	})
}
