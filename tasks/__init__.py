"""What is asked, in which language, and how the answers are scored."""

import sys

from xlift.tasks.faults import runs_in, show_in_one_line

if runs_in(sys.argv[0]):
    show_in_one_line()
