"""A process among its relatives: who they are, which roles they have, who adopted them, and how they talk."""
