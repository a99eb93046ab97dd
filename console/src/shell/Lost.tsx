import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import { useRouteError } from "react-router";
import { useWords } from "../i18n";
import { Page } from "../ui/Page";

/** An address that shows nothing, or a page that failed: the way back. */
export function Lost() {
  const { t } = useWords();
  const error = useRouteError();
  return (
    <Page title={t("lost")}>
      <Alert severity="warning">{error ? String(error) : t("lost.hint")}</Alert>
      <Button variant="contained" href="#/">
        {t("home")}
      </Button>
    </Page>
  );
}
