"""Commands that hold others."""

from __future__ import annotations

import click

from splitee._internal.errors import suggest


class Group(click.Group):
    """A group that says which commands there are, where one is called that is none."""

    def resolve_command(  # noqa: D102
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        wrong = not args[0].startswith("-") and self.get_command(ctx, args[0]) is None
        if wrong and not ctx.resilient_parsing:  # as a shell does that completes a line
            known = suggest(args[0], self.list_commands(ctx))
            raise click.UsageError(f"no command is called '{args[0]}': {known}", ctx)
        return super().resolve_command(ctx, args)
