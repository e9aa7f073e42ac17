from os import nothing_of_this_name
