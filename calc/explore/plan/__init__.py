"""The best deployment of a model under limits: candidates, choice, pools."""
