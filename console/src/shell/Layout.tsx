import Alert from "@mui/material/Alert";
import AppBar from "@mui/material/AppBar";
import Button from "@mui/material/Button";
import LinearProgress from "@mui/material/LinearProgress";
import Toolbar from "@mui/material/Toolbar";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { Navigate, Outlet, useLocation } from "react-router";
import type { Schemas } from "../api/client";
import { Problem } from "../api/problems";
import { me } from "../api/queries";
import { useWords } from "../i18n";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Live, useLink } from "./live";
import { PersonMenu } from "./PersonMenu";
import { PAGES } from "./pages";
import { SyncState } from "./SyncState";

/** Everything but the login: who is there, what waits to be sent, and the page. */
export function Layout() {
  const { data, error, refetch } = useQuery(me);
  const place = useLocation();
  if (data) return <Inside me={data} />;
  if (error instanceof Problem && error.status === 401)
    return <Navigate to="/login" replace state={{ from: place.pathname }} />;
  if (error) return <ProblemAlert error={error} onRetry={() => void refetch()} />;
  return <LinearProgress aria-label="…" />;
}

function Inside({ me }: { me: Schemas["Me"] }) {
  return (
    <Live>
      <AppBar position="sticky" color="primary" enableColorOnDark>
        <Toolbar sx={{ gap: 1, flexWrap: "wrap", py: 0.5 }}>
          <Pages role={me.role} />
          <SyncState />
          <PersonMenu me={me} />
        </Toolbar>
      </AppBar>
      <Away />
      <Outlet />
    </Live>
  );
}

function Pages({ role }: { role: Schemas["Role"] }) {
  const { t } = useWords();
  const { pathname } = useLocation();
  return (
    <nav aria-label={t("pages")} style={{ flexGrow: 1 }}>
      {PAGES.filter((page) => !page.roles || page.roles.includes(role)).map((page) => {
        const isHere = page.path === "/" ? pathname === "/" : pathname.startsWith(page.path);
        return (
          <Button
            key={page.path}
            color="inherit"
            variant="text"
            href={`#${page.path}`}
            aria-current={isHere ? "page" : undefined}
            sx={{ textDecoration: isHere ? "underline" : "none", textUnderlineOffset: 6 }}
          >
            {t(page.word)}
          </Button>
        );
      })}
    </nav>
  );
}

/** Said while the agent does not answer; goes by itself when it is back. */
function Away() {
  const { t } = useWords();
  if (useLink() !== "lost") return null;
  return (
    <Alert severity="warning" role="status" square data-testid="away">
      <Typography component="span" sx={{ fontWeight: 600 }}>
        {t("away")}
      </Typography>{" "}
      {t("away.hint")}
    </Alert>
  );
}
