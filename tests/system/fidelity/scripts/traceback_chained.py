def fails():
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("caused") from error


try:
    fails()
except ValueError:
    raise RuntimeError("while handling")
