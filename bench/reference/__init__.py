"""What the portal is compared with. Served by the benchmark alone; nothing here is how one should write a portal."""
