"""A stand-in vProtect over HTTPS for the demo and the tests (docs/simulator.md). It shares nothing with the client."""
