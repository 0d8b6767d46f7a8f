"""Serving software: constants, engines by name and version, software that chips bring, releases of SRAM machines."""
