"""What a model costs and how much int8 disturbs it, what a server needs for it, and what a link carries."""
