// The page of exports and imports: the list of imports asks for itself again.
import "../vendor/htmx.esm.min.js";
