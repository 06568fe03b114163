"""`shoal image …`. The commands are beside this file, each imported only when it is called; most are there at the top
level too, as `docker pull` is `docker image pull`.
"""

from cli.lazy_group import LazyGroup

COMMANDS = {
    "ls": ("cli.commands.image.image_listing:list_images", "List images"),
    "pull": ("cli.commands.image.image_transfer:pull", "Pull an image into the cluster"),
    "push": ("cli.commands.image.image_push:push", "Push an image to a registry"),
    "tag": ("cli.commands.image.image_names:tag", "Create a name for an image"),
    "rm": ("cli.commands.image.image_names:remove", "Remove one or more images"),
    "inspect": ("cli.commands.image.image_inspect:inspect", "Display detailed information on one or more images"),
    "history": ("cli.commands.image.image_inspect:show_history", "Show the history of an image"),
    "save": ("cli.commands.image.image_archives:save", "Save one or more images to a tar archive"),
    "load": ("cli.commands.image.image_archives:load", "Load images from a tar archive"),
    "import": ("cli.commands.image.image_archives:import_image", "Create an image from a tar of a root file system"),
    "prune": ("cli.commands.image.image_names:prune", "Remove unused images"),
}

ALIASES = {"list": "ls", "remove": "rm"}

command = LazyGroup("image", parts=COMMANDS, aliases=ALIASES, help="Manage images.")
