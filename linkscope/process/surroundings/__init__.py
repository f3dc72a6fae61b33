"""What a process runs in and for: its systemd unit and container, its script, and the kernel."""
