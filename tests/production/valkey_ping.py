"""Stands for valkey-cli, which no package for Python brings: `valkey-cli ping` with the password on standard input."""

import sys

import redis

print("PONG" if redis.Redis(port=int(sys.argv[1]), password=sys.stdin.read()).ping() else "")
