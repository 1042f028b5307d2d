--  Tables, raw lines and JSON, put to standard output.

with Options;
with Uuids;

package Printing is

   function Name (Column : Uuids.Column) return String
   is (case Column is
         when Uuids.Uuid => "UUID",
         when Uuids.Variant => "VARIANT",
         when Uuids.Kind => "TYPE",
         when Uuids.Time => "TIME");

   procedure Json (Rows : Uuids.Row_List; Columns : Options.Column_List);

   procedure Lines (Rows : Uuids.Row_List; Columns : Options.Column_List; Headings, Raw : Boolean);

end Printing;
