import Button from "@mui/material/Button";
import Divider from "@mui/material/Divider";
import Menu from "@mui/material/Menu";
import MenuItem from "@mui/material/MenuItem";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api, type Schemas } from "../api/client";
import { LANGUAGES, type Language, useWords } from "../i18n";
import { type Preferences, usePreferences } from "./preferences";

/** Who is logged in; language, size, sound; logging out. */
export function PersonMenu({ me }: { me: Schemas["Me"] }) {
  const { t } = useWords();
  const [preferences, change] = usePreferences();
  const [anchor, setAnchor] = useState<HTMLElement | null>(null);
  const client = useQueryClient();
  const navigate = useNavigate();
  const logout = useMutation({
    mutationFn: () => api.POST("/api/v1/auth/logout"),
    onSuccess: () => {
      client.clear();
      navigate("/login");
    },
    onError: () => setAnchor(null), // an agent that is away is told of above the page
  });
  const choose = (some: Partial<Preferences>) => {
    change(some);
    setAnchor(null);
  };
  const other: Language = preferences.language === "ja" ? "en" : "ja";
  return (
    <>
      <Button
        color="inherit"
        aria-haspopup="menu"
        onClick={(event) => setAnchor(event.currentTarget)}
        data-testid="person"
      >
        {me.user?.full_name ?? me.name}
      </Button>
      <Menu anchorEl={anchor} open={anchor !== null} onClose={() => setAnchor(null)}>
        <MenuItem disabled>
          {me.name} · {t(`role.${me.role}`)}
        </MenuItem>
        <Divider />
        <MenuItem lang={other} onClick={() => choose({ language: other })}>
          {LANGUAGES[other]}
        </MenuItem>
        <MenuItem onClick={() => choose({ isLarge: !preferences.isLarge })}>
          {t(preferences.isLarge ? "text.normal" : "text.large")}
        </MenuItem>
        <MenuItem onClick={() => choose({ hasSound: !preferences.hasSound })}>
          {t(preferences.hasSound ? "sound.off" : "sound.on")}
        </MenuItem>
        <Divider />
        <MenuItem component="a" href="#/password" onClick={() => setAnchor(null)}>
          {t("password")}
        </MenuItem>
        <MenuItem onClick={() => logout.mutate()}>{t("logout")}</MenuItem>
      </Menu>
    </>
  );
}
