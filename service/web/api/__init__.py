"""The operator's API below `/api/v1`: bearer tokens, JSON, problem details; a file each resource.

A resource's file has `routes(desk)`, and its name stands in `mounting`.
"""
