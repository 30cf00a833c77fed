"""What `amili-events up` is made of: the folder, the plan, the processes, the story, the views.

`up` itself puts them together. Processes are started by name, never imported; everything shown
is read over HTTP from the product's own API, as any other program would.
"""
