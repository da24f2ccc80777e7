"""`pervade ui`: the page over a folder of runs. What it shows was written by others (run/, report/); what is kept here
is only which trainings it has started."""
