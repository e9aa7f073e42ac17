def outer(values):
    return inner(values["a"]["missing"], 1)


def inner(a, b):
    return a + b


print("before")
outer({"a": {}})
