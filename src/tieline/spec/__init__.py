"""What people declare: connectors, connections, integrations, and how their files are read and judged."""
