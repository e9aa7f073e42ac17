"""Hints on scripts that were written for a terminal or a notebook."""

from asgard_async.jobs.hints.row import Row

ARGUMENTS = (
    'Pass the script\'s arguments in "args" or "params" (asgard run train.py -- --lr 0.1), or give'
    " them defaults."
)

USAGE = (
    # --- arguments and input --------------------------------------------------------------
    Row(
        output=r": error: the following arguments are required: .{1,400}$",  # argparse
        when=("exit 2",),
        text=ARGUMENTS,
    ),
    Row(
        output=r"(?:^Error: |│ )Missing (?:option|argument|parameter) '",  # click and typer
        when=("exit 2",),
        text=ARGUMENTS,
    ),
    Row(
        output=r"^ERROR: The function received no value for the required argument: ",  # fire
        when=("exit 2",),
        text=ARGUMENTS,
    ),
    Row(
        exception=r"^IndexError: list index out of range",
        traceback=r"\bsys\.argv\[[^\n]*\n?[ ^~]*\Z",
        text=ARGUMENTS,
    ),
    Row(
        exception=r"^EOFError: EOF when reading a line",
        text='A job has no standard input: pass values in "environment_vars" and read os.environ.',
    ),
    Row(
        exception=r"^KeyError: '(?P<variable>[A-Za-z_]\w{0,100})'$",
        traceback=r'File "(?:<frozen os>|[^"\n]{1,400}/os\.py)", line \d{1,6}, in __getitem__'
        r"(?:\n {4}[^\n]*)?\n?\Z",
        text='"{variable}" is not set: a job does not inherit the variables of your shell or of the'
        ' service. Set it in "environment_vars".',
    ),
    # --- notebooks and screens ------------------------------------------------------------
    Row(
        exception=r"^NameError: name 'get_ipython' is not defined",
        text="The script comes from a notebook, and get_ipython() exists only there: submit the"
        " notebook itself (.ipynb), or remove the lines that call it."
        ' In place of "!pip install" and "%pip install", list packages in'
        ' "requirements".',
    ),
    Row(
        exception=r"^NameError: name 'display' is not defined",
        text="display() exists only in notebooks: use print().",
    ),
    Row(
        exception=r"^(?:_tkinter\.)?TclError: (?:no display name and no \$DISPLAY"
        r"|couldn't connect to display)"
        r"|^ImportError: Cannot load backend '\w{1,40}' which requires the '\w{1,40}' interactive"
        r" framework",
        text="A job has no screen: remove matplotlib.use(…) and windows, and save figures with"
        " savefig or mlflow.log_figure.",
    ),
)
