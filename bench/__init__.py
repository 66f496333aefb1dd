"""Measurements that back what the documentation promises."""
