import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import CardContent from "@mui/material/CardContent";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import Typography from "@mui/material/Typography";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Navigate, useLocation, useNavigate, useNavigation } from "react-router";
import { api, read } from "../api/client";
import { me } from "../api/queries";
import { LANGUAGES, type Language, useWords } from "../i18n";
import { usePreferences } from "../shell/preferences";
import { ProblemAlert } from "../ui/ProblemAlert";

/** Name and password; checked by the agent, so it works without a network. Who is logged in already goes on. */
export function Login() {
  const { t } = useWords();
  const [preferences, change] = usePreferences();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const client = useQueryClient();
  const navigate = useNavigate();
  const from = (useLocation().state as { from?: string } | null)?.from ?? "/";
  const login = useMutation({
    mutationFn: () => read(api.POST("/api/v1/auth/login", { body: { username, password, cookie: true } })),
    onSuccess: async () => {
      client.clear();
      await client.fetchQuery({ ...me, staleTime: 0 });
      navigate(from, { replace: true });
    },
  });
  const { data: someone } = useQuery(me);
  const isLeaving = useNavigation().state !== "idle"; // the page gone to is still being loaded
  if (someone) return isLeaving ? null : <Navigate to={from} replace />;
  const other: Language = preferences.language === "ja" ? "en" : "ja";
  return (
    <Stack component="main" sx={{ minHeight: "100vh", alignItems: "center", justifyContent: "center", p: 2 }}>
      <Card sx={{ width: "100%", maxWidth: 440 }}>
        <CardContent>
          <Stack
            component="form"
            spacing={2}
            onSubmit={(event) => {
              event.preventDefault();
              login.mutate();
            }}
          >
            <Typography variant="h5" component="h1">
              {t("product")}
            </Typography>
            {login.error && <ProblemAlert error={login.error} />}
            <TextField
              label={t("login.name")}
              autoComplete="username"
              autoFocus
              required
              value={username}
              onChange={(event) => setUsername(event.target.value)}
            />
            <TextField
              label={t("login.password")}
              type="password"
              autoComplete="current-password"
              required
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
            <Button type="submit" variant="contained" size="large" loading={login.isPending}>
              {t("login")}
            </Button>
            <Button variant="text" lang={other} onClick={() => change({ language: other })}>
              {LANGUAGES[other]}
            </Button>
          </Stack>
        </CardContent>
      </Card>
    </Stack>
  );
}
