--  The command line, read as getopt does.

with Ada.Containers.Vectors;
with Uuids;

package Options is

   Told : exception;
   --  Help or version has been put to standard output, and nothing else is to be done.

   Failed : exception;
   --  What was wrong has been said on standard error.

   Most_Columns : constant := 8;

   package Column_Vectors is new Ada.Containers.Vectors (Positive, Uuids.Column, Uuids."=");
   subtype Column_List is Column_Vectors.Vector;

   type Settings is record
      Json, Raw, No_Headings : Boolean := False;
      Columns  : Column_List;
      Operands : Uuids.Word_List;
   end record;

   procedure Read (Result : in out Settings);

end Options;
