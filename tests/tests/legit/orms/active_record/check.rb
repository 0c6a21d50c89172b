# What an application does with ActiveRecord, in two tenants on one connection. The tenants are acme and bravo of the tests'
# fixture, with `users` in each and the same ids in both.

$stdout.sync = true
require_relative "tenants"

CONFIG = { adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"],
           database: ENV["PGDATABASE"], pool: 1 }.freeze
ORGS = %w[acme bravo].freeze

ActiveRecord::Migration.verbose = false
ActiveRecord::Base.establish_connection(CONFIG)

class Author < ActiveRecord::Base
  has_many :books
end

class Book < ActiveRecord::Base
  belongs_to :author
  validates :title, presence: true
end

class User < ActiveRecord::Base; end

class Country < ActiveRecord::Base
  self.primary_key = "code"
end

def assert(is_so, said = nil)
  raise "#{caller(1..1).first}: #{said.inspect}" unless is_so
end

def connection
  ActiveRecord::Base.connection
end

def backend
  connection.select_value("SELECT pg_backend_pid()")
end

# The error as ActiveRecord hands it on.
def refused(sqlstate, words = %w[canary tenant_bravo])
  ActiveRecord::Base.transaction(requires_new: true) { yield }
rescue ActiveRecord::StatementInvalid => error
  found = error.cause.result.error_field(PG::Result::PG_DIAG_SQLSTATE)
  assert(found == sqlstate, [found, error.message])
  assert(words.none? { |word| error.message.include?(word) }, error.message)
  error.cause.result.error_field(PG::Result::PG_DIAG_MESSAGE_HINT).to_s
else
  raise "#{caller(1..1).first}: not refused: expected #{sqlstate}"
end

# As `rails db:migrate` does it, in the transaction that is open.
def migrations
  ActiveRecord::MigrationContext.new(File.join(__dir__, "migrate"), ActiveRecord::SchemaMigration)
end

def migrations_come_into_the_tenants_schema
  ORGS.each do |org|
    Tenant.use(org) do
      migrations.migrate
      assert(!migrations.needs_migration?)
      migrations.rollback(1)
      assert(!connection.column_exists?(:books, :sold))
      migrations.migrate
    end
  end
  [Author, Book].each(&:reset_column_information)
end

def introspection_sees_this_tenant
  Tenant.use("acme") do
    assert((%w[users authors books schema_migrations] - connection.tables).empty?, connection.tables)
    assert(connection.tables.uniq == connection.tables)
    assert(connection.primary_key("books") == "id")
    assert(connection.columns("books").map(&:name).include?("facts"))
    names = connection.indexes("books").map(&:name)
    assert(names.include?("book_by_author") && names.uniq == names, names)
    key = connection.foreign_keys("books").first
    assert([key.to_table, key.column, key.on_delete] == ["authors", "author_id", :cascade], key)
    # Rails 6.1 looks for the table's name in every schema, with us and without; 7.0 does not.
    checks = connection.check_constraints("books").map(&:name).uniq
    assert(checks == ["sold_few"], checks)
    assert(Book.columns_hash["facts"].type == :jsonb && Book.columns_hash["tags"].array)
    assert(connection.default_sequence_name("books") =~ /books_id_seq/)
    schema = StringIO.new
    ActiveRecord::SchemaDumper.dump(connection, schema)
    assert(schema.string.scan('create_table "books"').size == 1, schema.string)
    assert(schema.string.include?('add_foreign_key "books", "authors", on_delete: :cascade'), schema.string)
  end
end

def rows_stay_in_their_tenant
  pid = backend
  ORGS.each do |org|
    Tenant.use(org) do
      author = Author.create!(name: "canary-#{org}")
      author.books.create!(title: "one", facts: { in: org }, tags: ["a", org])
    end
  end
  (ORGS * 3).each do |org|
    Tenant.use(org) do
      assert(backend == pid)
      assert(Author.pluck(:name) == ["canary-#{org}"])
      # By id, the same in both: one prepared statement.
      assert(Author.find(1).name == "canary-#{org}")
      book = Book.includes(:author).where("facts->>'in' = ?", org).first
      assert(book.author.name == "canary-#{org}" && book.tags == ["a", org])
      assert(User.find(1).name == "canary-#{org}")
      assert(Country.find("IN").name == "India")
    end
  end
  prepared = connection.select_values("SELECT statement FROM pg_prepared_statements")
  assert(prepared.one? { |sql| sql =~ /FROM "authors" WHERE "authors"."id" = \$1 LIMIT/ }, prepared)
end

# The cache of a request (ActiveRecord::QueryCache) knows nothing of tenants; Tenant.use empties it.
def the_query_cache_is_emptied
  ActiveRecord::Base.cache do
    (ORGS * 2).each do |org|
      Tenant.use(org) { 2.times { assert(Author.first.name == "canary-#{org}") } }
    end
    refused("42P01") { Author.first }
    # Why that must be: without it the answer is the other tenant's.
    names = ORGS.map do |org|
      ActiveRecord::Base.transaction do
        connection.execute("SELECT plio.set_tenant('#{org}')")
        Author.first.name
      end
    end
    assert(names == %w[canary-acme canary-acme], names)
  end
end

def the_usual_queries
  Tenant.use("acme") do
    author = Author.first
    now = Time.now
    row = ->(title, sold) { { author_id: author.id, title: title, sold: sold, created_at: now, updated_at: now } }
    Book.insert_all((0...500).map { |i| row.("b#{i}", i) })
    Book.upsert_all([row.("b1", 7)], unique_by: :title)
    assert(Book.find_by(title: "b1").sold == 7)
    assert(Book.find_each(batch_size: 100).count == 501)
    assert(Book.where(sold: 499..).update_all("sold = sold + 1") == 1)
    Book.lock("FOR UPDATE SKIP LOCKED").find_by!(title: "one").update!(title: "first")
    assert(Author.joins(:books).group(:name).count == { "canary-acme" => 501 })
    assert(Book.where(id: 3).explain.include?("Index"))
    Book.where("title LIKE 'b%'").delete_all
  end
  Tenant.use("bravo") { assert(Book.pluck(:title) == ["one"]) }
end

def savepoints_and_errors
  Tenant.use("acme") do
    author = Author.first
    begin
      Book.transaction(requires_new: true) { author.books.create!(title: "first") }
    rescue ActiveRecord::RecordNotUnique => error
      constraint = error.cause.result.error_field(PG::Result::PG_DIAG_CONSTRAINT_NAME)
      assert(constraint == "index_books_on_title", constraint)
    end
    Book.transaction(requires_new: true) do
      Author.delete_all
      raise ActiveRecord::Rollback
    end
    author.books.create!(title: "after")
  end
  begin
    Tenant.use("acme") { Author.delete_all && raise(KeyError) }
  rescue KeyError
    nil
  end
  Tenant.use("acme") { assert(Book.order(:id).pluck(:title) == %w[first after]) }
end

def what_is_refused
  Tenant.use("acme") do
    refused("42501", ["canary"]) { connection.execute("SELECT * FROM tenant_bravo.authors") }
    refused("25001") { Tenant.use("bravo") { nil } }
    refused("42501", ["canary"]) { connection.schema_search_path = "tenant_bravo" }
    assert(Author.pluck(:name) == ["canary-acme"])
  end
  refused("42501") { Tenant.use("nobody") { nil } }
end

def a_forgotten_tenant_is_an_error
  Tenant.use("acme") { assert(Author.find(1).name == "canary-acme") }
  # The table is in no schema of the path: PostgreSQL's own error. By its full name, ours.
  refused("42P01") { Author.find(1) }
  hint = refused("55000", ["canary"]) { connection.execute("SELECT * FROM tenant_acme.authors") }
  assert(hint.include?("plio.set_tenant"), hint)
  refused("55000") { connection.execute("SELECT plio.require_tenant()") }
end

# While one tenant is migrated and the other is not yet, `SELECT *` as a prepared statement has two results: PostgreSQL refuses
# that on any connection that both share, and ActiveRecord says so. Without prepared statements it works.
def while_tenants_have_other_columns
  Tenant.use("bravo") { migrations.rollback(1) }
  ORGS.each { |org| Tenant.use(org) { Book.find(1) } }
  raise "the statement of the other tenant's columns was taken"
rescue ActiveRecord::PreparedStatementCacheExpired
  ActiveRecord::Base.establish_connection(CONFIG.merge(prepared_statements: false))
  (ORGS * 2).each { |org| Tenant.use(org) { assert(Book.find(1).author_id == 1) } }
  Tenant.use("bravo") { migrations.migrate }
  ActiveRecord::Base.establish_connection(CONFIG)
end

# `variables:` of database.yml: `rails db:migrate` for one tenant, autocommit; and SET in a session.
def sessions_of_one_tenant
  ActiveRecord::Base.establish_connection(CONFIG.merge(variables: { "plio.tenant" => "acme" }))
  migrations.rollback(1)
  migrations.migrate
  [Author, Book].each(&:reset_column_information)
  assert(Author.pluck(:name) == ["canary-acme"])
  connection.add_index(:authors, :name, algorithm: :concurrently)
  Author.create!(name: "autocommit").destroy!
  connection.reconnect!
  assert(Author.pluck(:name) == ["canary-acme"])
  ActiveRecord::Base.establish_connection(CONFIG)
  ORGS.each do |org|
    connection.execute("SET plio.tenant = '#{org}'")
    assert(Author.pluck(:name) == ["canary-#{org}"])
  end
  connection.reset! # DISCARD ALL
  refused("42P01") { Author.first }
end

%i[migrations_come_into_the_tenants_schema introspection_sees_this_tenant rows_stay_in_their_tenant
   the_query_cache_is_emptied the_usual_queries savepoints_and_errors what_is_refused a_forgotten_tenant_is_an_error
   while_tenants_have_other_columns sessions_of_one_tenant].each do |step|
  puts step
  send(step)
end
puts "done"
